"""A check in MLflow: figures alone, and of counts no small ones."""

from __future__ import annotations

from pathlib import Path

from clinical_qkt.core.files import fingerprint
from clinical_qkt.monitoring.check import Check
from clinical_qkt.review.tracking.tracker import Tracker
from clinical_qkt.site.config import Site

LEAST = 5
"""Fewer images of a class are not told: MLflow may be somebody else's server."""


def log(site: Site, task: str, check: Check, place: Path) -> None:
    """One run a check, ``monitor SITE``.

    Args:
        place: the record.
    """
    tracker = Tracker.of(site, task)
    tags = {
        "site": site.site,
        "check": check.name,
        "verdict": check.verdict,
        "alarms": ", ".join(check.alarms),
        "switch_off": "yes" if check.switch_off else "no",
    }
    work = fingerprint(check.model_dump(mode="json"))
    with tracker.run(f"monitor {site.site}", tags, place=place, work=work) as run:
        tracker.params(run, {"weights_sha256": check.weights_sha256, "yardstick": check.yardstick})
        tracker.log(run, figures(check))
    tracker.deliver()


def figures(check: Check) -> dict[str, float | None]:
    """A check's figures under their MLflow names."""
    found: dict[str, float | None] = {
        "monitor/images": float(check.images),
        "monitor/alarm": float(check.verdict == "alarm"),
        "monitor/switch_off": float(bool(check.switch_off)),
        "monitor/unsure": check.unsure / check.images if check.unsure >= LEAST else None,
        "monitor/unreadable": check.unreadable.count / check.listed
        if check.unreadable.count >= LEAST
        else None,
    }
    for rule, part in check.images_changed.items():
        found |= {
            f"monitor/{rule}/deviation": part.deviation,
            f"monitor/{rule}/limit": part.limit,
            f"monitor/{rule}/p": part.p,
        }
    shares = {n: c.count / check.units for n, c in check.counts.items() if c.count >= LEAST}
    found |= {f"monitor/share/{name}": share for name, share in shares.items()}
    return found
