"""The student's side: its new model judged again, by what other hospitals measured of it.

What was decided before stays in the summary. Nothing is computed on images.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.core.files import write_json
from clinical_qkt.evidence import looks
from clinical_qkt.evidence.criteria import decision
from clinical_qkt.evidence.evaluation import Tested
from clinical_qkt.evidence.others import (
    MeasuredByOthers,
    ToldBySite,
    ToldClass,
    heard,
    measured_by_others,
)
from clinical_qkt.packages.assessment import Assessment, load_assessment, once_each
from clinical_qkt.review import report
from clinical_qkt.review.comparison.reading import read_summary
from clinical_qkt.review.report_id import report_id
from clinical_qkt.review.rule_facts import rule_facts
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.review.tracking import judged_again
from clinical_qkt.site.config import Site
from clinical_qkt.site.ledger.ledger import Ledger

AGAIN = "run `transfer` again, which judges by them; or write them as they were"


def judge(site: Site, task: str) -> TransferSummary:
    """Judge the new model by the site's rule, with the assessments under ``assessments``.

    Summary, report and MLflow tell of it; what they told before, the summary keeps.

    Raises:
        InputError: there is no finished transfer, or the site's YAML is about another one.
        PackageError: an assessment is refused, or is of another model.
    """
    place = site.transfer_dir / "summary.json"
    before = _read(place)
    _require_same_transfer(site, before)
    told = [told_by(one) for one in received(site, before)]
    after = judged(site, before, measured_by_others(told, before.student.query))
    report.write(site.transfer_dir, after)
    judged_again.log(site, task, after, report.verdict_sentence(after))
    write_json(place, after.as_json())
    return after


def received(site: Site, summary: TransferSummary) -> list[Assessment]:
    """The assessments, each verified and of this very model.

    Raises:
        PackageError: one is refused, or two are of the same site.
    """
    found = []
    for folder in site.assessments:
        known = {"model_sha256": summary.identity.weights_sha256, "gained": summary.student.query}
        one = load_assessment(folder, site.trust, **known)  # type: ignore[arg-type]
        if one.site == site.site:
            raise PackageError(
                "is of this site itself, whose own test images have been looked at already",
                where=str(folder),
                fix="take it out of 'assessments'",
            )
        found.append(one)
    return once_each(found)


def told_by(one: Assessment) -> ToldBySite:
    """An assessment as the summary has it."""
    names = {"declined", "images", "patients", "recall", "called"}
    return ToldBySite(
        site=one.site,
        signature=one.signed.state,
        card_sha256=one.digest,
        rounding=one.card.rounding,
        others=Tested(**one.card.others.model_dump()) if one.card.others else None,
        classes={c.label.name: ToldClass(**c.model_dump(include=names)) for c in one.card.classes},
    )


def judged(site: Site, before: TransferSummary, others: MeasuredByOthers) -> TransferSummary:
    """The summary with what others measured, and with what follows by the site's rule.

    Args:
        before: as it was; what it decided is kept, unless the same is decided by the same.
    """
    rule, evidence = site.acceptance, site.acceptance.evidence
    found = heard(evidence, before.after, before.student.query, others)
    own = before.after, before.forgetting, site.forgetting_budget
    decided = decision(*own, rule, site.rule_written, found)
    known = before.identity
    once = Ledger(site.ledger).judged(known.test_sha256, site.rule_sha256, known.weights_sha256)
    update: dict[str, Any] = {
        "others": others,
        "criteria": decided.criteria,
        "verdict": looks.decided(before.looks, decided.criteria, evidence),
        "rule": rule_facts(site, once),
        "untrusted_packages": _untrusted(before, others.sites),
    }
    after = before.model_copy(update=update)
    if after == before:
        return before
    update["judged_earlier"] = [*before.judged_earlier, before.judgement()]
    update["identity"] = known.model_copy(update=_identity(site, before, others))
    return TransferSummary.model_validate(before.model_copy(update=update).as_json())


def _identity(site: Site, before: TransferSummary, others: MeasuredByOthers) -> dict[str, str]:
    known, cards = before.identity, [s.card_sha256 for s in others.sites]
    return {
        "report_id": report_id(known.weights_sha256, known.test_sha256, site.rule_sha256, cards),
        "rule_sha256": site.rule_sha256,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _untrusted(before: TransferSummary, told: Sequence[ToldBySite]) -> list[str]:
    """The packages that nobody vouches for: those of the transfer, and assessments."""
    earlier = {f"{s.site} ({s.signature})" for s in (before.others.sites if before.others else [])}
    kept = [name for name in before.untrusted_packages if name not in earlier]
    doubtful = [f"{s.site} ({s.signature})" for s in told if s.signature not in ("trusted", "made here")]
    return list(dict.fromkeys([*kept, *doubtful]))


def _read(place: Path) -> TransferSummary:
    if not place.is_file():
        raise InputError("there is no finished transfer", where=str(place), fix="run `transfer` first")
    return read_summary(place.read_bytes(), str(place), whole=True)[0]


def _require_same_transfer(site: Site, summary: TransferSummary) -> None:
    """
    Raises:
        InputError: what only a transfer can judge by has changed since.
    """
    limits = summary.looks.limits if summary.looks else None
    changed = {
        "site": summary.student.site != site.site,
        "classes": summary.student.classes != site.labels.names,
        "query": summary.student.query != site.queried.names,
        "forgetting_budget": summary.budget.forgetting != site.forgetting_budget,
        "acceptance: looks": limits is not None and limits != site.acceptance.looks.model_dump(),
    }
    if keys := [key for key, differs in changed.items() if differs]:
        raise InputError("is another one than in the transfer", where=" and ".join(keys), fix=AGAIN)
