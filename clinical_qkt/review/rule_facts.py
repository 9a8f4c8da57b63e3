"""The rule as a summary tells it."""

from __future__ import annotations

from clinical_qkt.review.summary_schema import Rule
from clinical_qkt.site.config import Site
from clinical_qkt.site.ledger.judged import Judged


def rule_facts(site: Site, judged: Judged) -> Rule:
    """The part ``rule`` of the summary.

    Args:
        judged: what the ledger knows of the test images and the rule.
    """
    budget, rule = site.forgetting_budget, site.acceptance
    return Rule(
        date=rule.date.isoformat() if rule.date else None,
        sha256=rule.digest(budget),
        limits=rule.limits(budget),
        used_since=judged.used_since,
        judged_before=judged.judged_before,
        rules_before=judged.rules_before,
        evidence=rule.evidence,
    )
