"""Copies of a bundle from before a site could say something: what they would pass over is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import InputError
from clinical_qkt.site.config import Site

WEIGHTS = "weights"
"""The key of a bundle's config under which the file of pretrained weights is that was read."""


def require_known(site: Site, own: Mapping[str, Mapping[str, Any]], where: Path) -> None:
    """Refuse a bundle that was copied before there were pretrained weights: it would train without them.

    Args:
        own: the bundle's config files by name.

    Raises:
        InputError: the site names weights, and the bundle does nothing with them.
    """
    if site.pretrained is not None and WEIGHTS not in own["train"]:
        raise InputError(
            "this copy of the bundle is from before there were pretrained weights, and would train without",
            where=f"pretrained: {where}",
            fix="copy the bundle anew, or take 'pretrained' out of the site's YAML",
        )
    if site.head_penalty is not None and "head_penalty" not in own["train"]:
        raise InputError(
            "this copy of the bundle is from before a head could be fitted, and would train it by epochs",
            where=f"head_penalty: {where}",
            fix="copy the bundle anew, or take 'head_penalty' out of the site's YAML",
        )
