"""The ledger: whether it counts what is about to be told of patients, and what is left of the privacy
budget.
"""

from __future__ import annotations

from collections.abc import Iterator

from clinical_qkt.bundle.config_keys import switch
from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking.finding import Finding, problem
from clinical_qkt.core.errors import QKTError
from clinical_qkt.site.ledger import file, second_place
from clinical_qkt.site.ledger.beginning import NOBODY_SAID
from clinical_qkt.site.ledger.ledger import Ledger


def findings(stage: Stage) -> Iterator[Finding]:
    """One line, for the commands that tell something of patients that has to be counted."""
    site = stage.site
    told = stage.command == "share" and site.publish_mask and site.mask_epsilon is not None
    if stage.command not in ("answer", "assess") and not told:
        return
    try:
        yield _counting(stage, Ledger(site.ledger))
    except QKTError as e:
        yield problem("ledger", e)


def _counting(stage: Stage, ledger: Ledger) -> Finding:
    site, policy = stage.site, stage.site.policy
    begun = ledger.is_begun()
    known = ledger.require_newest() if begun else None
    second_place.require_same_ledger(site.site, (), known, ledger.path)
    if not begun:
        if switch("new_ledger", stage.value("new_ledger")):
            return Finding("ok", "ledger", f"{ledger.path}: will be begun, with nothing spent")
        return Finding("problem", "ledger", f"{ledger.path}: {NOBODY_SAID}", file.BEGIN)
    if "private_mean" not in policy.kinds or stage.command in ("share", "assess"):
        return Finding("ok", "ledger", f"{ledger.path}: counts")
    spent = ledger.spent(policy.total_delta, policy.unit, policy.images_per_patient)
    total = f"epsilon {spent:.2f} of {policy.total_epsilon:g} is spent"
    return Finding("ok", "ledger", f"{ledger.path}: {total}")
