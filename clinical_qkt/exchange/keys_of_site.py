"""The pair of sealing keys of a site, by its YAML, which may not name them yet."""

from __future__ import annotations

from pathlib import Path

from clinical_qkt.exchange.at_desk import at_desk
from clinical_qkt.exchange.sealing_keys import new_sealing_key


def new_keys(site: Path, out: Path) -> tuple[Path, Path]:
    """Make them; gives the files of the private and of the public one."""
    desk = at_desk(site)
    out.parent.mkdir(parents=True, exist_ok=True)
    return out, new_sealing_key(desk.site, out, desk.signing_key)
