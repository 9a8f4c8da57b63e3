"""MONAI's own launcher in the folder of a bundle that was copied alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.launcher import bundle_words, launch


def launch_in(
    bundle: Path, site: Path, *overlays: str, **overrides: object
) -> subprocess.CompletedProcess[str]:
    """A stage as the bundle's README shows it, to its end."""
    files = [Path("configs") / f"{name}.yaml" for name in ("train", *overlays)]
    return launch("monai.bundle", *bundle_words([*files, site], **overrides), cwd=bundle)
