"""A new model is judged again by what other hospitals measured: by the rule, at its bad end, and on paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clinical_qkt.assessment.judging import judge
from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.core.files import write_json
from clinical_qkt.evidence.looks import decided
from clinical_qkt.packages.assessment import AssessmentCard, ClassAssessment, OtherImages, save_assessment
from clinical_qkt.review.comparison.reading import read_summary
from clinical_qkt.review.report.page import page
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.site.config import Site, check_site
from tests.review.report.conftest import RULE, made
from tests.review.report.evidence import looking, with_looks

BUDGET = 20


def student(folder: Path, *assessments: Path, evidence: str = "others", **changes: Any) -> Site:
    """The student's site, whose transfer has ended without a test image of the queried class."""
    values: dict[str, Any] = {
        "site": "hospital_1", "data": str(folder / "d.json"), "classes": ["ape", "bee", "cat"],
        "query": ["dog"],
        "acceptance": {**RULE, "evidence": evidence}, "forgetting_budget": BUDGET, "output_dir": str(folder),
        "package_dir": "p", "query_dir": "q", "transfer_dir": str(folder / "transfer"),
        "ledger": str(folder / "ledger.db"), "untrusted_packages": "accept",
        "assessments": [str(path) for path in assessments],
    }  # fmt: skip
    return check_site(values | changes, "site.yaml")


def transferred(folder: Path, **about: Any) -> TransferSummary:
    summary = made(images=400, **{"queried_images": 0, "evidence": "others", "budget": BUDGET} | about)
    write_json(folder / "transfer" / "summary.json", summary.as_json())
    return summary


def assessment(folder: Path, summary: TransferSummary, site: str, recall: int = 97, called: int = 5) -> Path:
    dog = ClassAssessment(label={"name": "dog"}, images=95, recall=recall, called=called)
    card = AssessmentCard(
        site=site, task="t", model_sha256=summary.identity.weights_sha256, model_card_sha256="b" * 64,
        rounding=5, classes=[dog], others=OtherImages(images=300),
    )  # fmt: skip
    save_assessment(folder / site, card)
    return folder / site


def test_a_student_without_any_test_image_of_the_class_is_accepted_by_what_others_measured(tmp_path):
    before = transferred(tmp_path)
    assert before.verdict == "cannot be decided" and before.after.query_recall is None
    told = [assessment(tmp_path, before, site) for site in ("hospital_2", "hospital_3")]
    after = judge(student(tmp_path, *told), "t")
    assert after.verdict == "accepted" and after.after == before.after
    recall = next(c for c in after.criteria if c.name == "query_recall")
    assert (recall.images, recall.measured) == (190, 0.97) and recall.ci95[0] < 0.97
    assert [j.verdict for j in after.judged_earlier] == ["cannot be decided"]
    read, _ = read_summary((tmp_path / "transfer" / "summary.json").read_bytes(), "s", whole=True)
    assert read == after and after.identity.report_id != before.identity.report_id
    assert (tmp_path / "transfer" / "report.html").is_file()


def test_own_evidence_decides_alone_unless_the_rule_says_otherwise(tmp_path):
    before = transferred(tmp_path, evidence="own")
    after = judge(student(tmp_path, assessment(tmp_path, before, "b"), evidence="own"), "t")
    assert (
        after.verdict == before.verdict == "cannot be decided" and after.others.classes["dog"].recall == 0.97
    )


def test_what_rounding_hides_counts_against_the_model(tmp_path):
    before = transferred(tmp_path, false_alarms=4.0)
    limit = {"acceptance": {**RULE, "evidence": "others", "false_alarms": 4.0}}
    few = judge(student(tmp_path, assessment(tmp_path, before, "b", called=0), **limit), "t")
    alarms = next(c for c in few.criteria if c.name == "false_alarms")
    assert alarms.measured == 0 and alarms.ci95[1] > 4 / 300 and alarms.outcome == "met"
    more = judge(student(tmp_path, assessment(tmp_path, before, "b", called=5), **limit), "t")
    assert next(c for c in more.criteria if c.name == "false_alarms").outcome == "undecided"


def test_a_model_is_judged_the_same_way_twice_and_every_earlier_judgement_is_kept(tmp_path):
    before = transferred(tmp_path)
    one = assessment(tmp_path, before, "b")
    first = judge(student(tmp_path, one), "t")
    assert judge(student(tmp_path, one), "t") == first
    bad = assessment(tmp_path, before, "c", recall=10)
    second = judge(student(tmp_path, one, bad), "t")
    assert second.others.classes["dog"].lowest == 0.1
    assert [list(j.assessments) for j in second.judged_earlier] == [[], ["b"]]


def test_what_is_not_about_this_model_or_from_this_site_itself_is_refused(tmp_path):
    before = transferred(tmp_path)
    one = assessment(tmp_path, before, "b")
    with pytest.raises(PackageError, match="a second assessment of the site 'b'"):
        judge(student(tmp_path, one, one), "t")
    with pytest.raises(PackageError, match="is of this site itself"):
        judge(student(tmp_path, assessment(tmp_path, before, "hospital_1")), "t")
    with pytest.raises(PackageError, match="is not signed"):
        judge(student(tmp_path, one, untrusted_packages="refuse"), "t")
    with pytest.raises(InputError, match="is another one than in the transfer"):
        judge(student(tmp_path, one, forgetting_budget=1.0), "t")
    raw = json.loads((tmp_path / "transfer" / "summary.json").read_text())
    raw["identity"]["weights_sha256"] = "9" * 64
    write_json(tmp_path / "transfer" / "summary.json", raw)
    with pytest.raises(PackageError, match="another model"):
        judge(student(tmp_path, one), "t")
    (tmp_path / "transfer" / "summary.json").unlink()
    with pytest.raises(InputError, match="no finished transfer"):
        judge(student(tmp_path, one), "t")


def test_a_summary_whose_pooled_figures_do_not_follow_from_the_hospitals_is_refused(tmp_path):
    before = transferred(tmp_path)
    raw = judge(student(tmp_path, assessment(tmp_path, before, "b")), "t").as_json()
    raw["others"]["classes"]["dog"]["recall"] = 0.99
    with pytest.raises(InputError, match="does not follow"):
        read_summary(json.dumps(raw), "s")


def test_looks_that_differ_are_not_outweighed_by_images_of_other_hospitals():
    summary = with_looks(made(images=400, queried_images=300), looking(distance=9.0))
    assert decided(summary.looks, summary.criteria, "own") == "accepted"
    assert decided(summary.looks, summary.criteria, "others") == "not accepted"


def test_the_report_says_that_others_measured_it(tmp_path):
    before = transferred(tmp_path)
    told = [assessment(tmp_path, before, "hospital_2"), assessment(tmp_path, before, "hospital_3", recall=90)]
    after = judge(student(tmp_path, *told), "t")
    shown = " ".join(page(after, {}).split())
    assert "Measured by other hospitals" in shown and "hospital_3" in shown
    assert "90 to 97" in shown
