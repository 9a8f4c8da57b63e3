"""A summary whose parts contradict each other is refused, so that no page shows what its figures deny."""

import json
import math
from copy import deepcopy

import pytest
from rich.console import Console

from clinical_qkt.cli.report import report
from clinical_qkt.core.errors import InputError
from clinical_qkt.review.comparison.reading import read_summary
from clinical_qkt.review.summary_checks import disagreements
from tests.review.report.conftest import made

ACCEPTED = made(images=400, queried_images=300).as_json()
REFUSED = made(images=400, queried_images=300, wrong=120).as_json()


def criterion(raw, name):
    return next(c for c in raw["criteria"] if c["name"] == name)


def refusal(raw, change, **how):
    changed = deepcopy(raw)
    change(changed)
    with pytest.raises(InputError) as told:
        read_summary(json.dumps(changed), "summary.json", **how)
    return str(told.value)


def test_what_the_transfer_wrote_agrees_with_itself():
    for raw, verdict in ((ACCEPTED, "accepted"), (REFUSED, "not accepted")):
        summary, _ = read_summary(json.dumps(raw), "summary.json", whole=True)
        assert summary.verdict == verdict and disagreements(summary) == []
    for few in ({"images": 0}, {"queried_images": 0}, {"images": 0, "queried_images": 0}, {"patients": 7}):
        assert disagreements(made(**few)) == []


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("promise", {"mean": 1.0}, "promise.mean: is another one than the forgetting budget"),
        ("loss", {"mean_bound": 21.0}, "state: says 'shown'"),
        ("loss", {"worst_bound": None}, "state: says 'shown'"),
    ],
)
def test_a_promise_that_its_limits_and_losses_contradict_is_refused(part, change, said):
    def changed(raw):
        raw["method"]["fit"][part] |= change

    assert said in refusal(ACCEPTED, changed)


def test_estimates_that_break_a_limit_are_not_called_within_it_and_what_is_not_kept_may_be_anything():
    def lost(raw):
        raw["method"]["fit"] |= {"state": "estimated"}
        raw["method"]["fit"]["loss"] |= {"worst": 51.0}

    assert "state: says 'estimated'" in refusal(ACCEPTED, lost)
    raw = deepcopy(ACCEPTED)
    lost(raw)
    raw["method"]["fit"]["state"] = "not kept"
    assert read_summary(json.dumps(raw), "summary.json")[0].method.fit.loss.worst == 51


def test_a_verdict_that_its_criteria_contradict_is_refused_and_so_is_one_that_its_figures_do():
    def better(raw):  # only the words
        raw["verdict"] = "accepted"

    def outcomes(raw):
        better(raw)
        for c in raw["criteria"]:
            c["outcome"] = "met"

    def intervals(raw):
        outcomes(raw)
        for c in raw["criteria"]:
            c["ci95"] = [1.0, 1.0] if c["bound"] == "at least" else [0.0, 0.0]

    def figures(raw):
        intervals(raw)
        for part in raw["after"]["false_alarms"]["overall"], criterion(raw, "false_alarms"):
            part |= {"share": 0.0, "measured": 0.0, "ci95": [0.0, 0.0], "count": 0}

    told = [refusal(REFUSED, change) for change in (better, outcomes, intervals, figures)]
    assert "verdict: says 'accepted', the criteria make it 'not accepted'" in told[0]
    assert "says 'met', limit and interval make it 'failed'" in told[1]
    assert "stands otherwise in 'after', 'others' or 'forgetting'" in told[2] and "To fix it: " in told[2]
    assert "stands otherwise" in told[3]


def test_a_forged_count_is_told_by_the_images_that_were_counted():
    def alarms(raw):
        raw["after"]["false_alarms"]["overall"]["count"] = 0

    def recall(raw):
        raw["after"]["per_class"]["dog"]["recall"] = 1.0

    assert "after.false_alarms.overall: the confusion counts" in refusal(ACCEPTED, alarms)
    assert "after.per_class.dog.recall: is not the share" in refusal(ACCEPTED, recall)


def test_an_acceptance_without_every_part_of_the_rule_or_by_another_limit_is_refused():
    def without(raw):
        raw["criteria"] = []

    def laxer(raw):
        raw["rule"]["limits"]["false_alarms"] = 5.5

    def turned(raw):
        criterion(raw, "query_recall")["ci95"].reverse()

    assert "must stand there once" in refusal(ACCEPTED, without)
    assert "the limit of 'false_alarms' is not the one of 'rule.limits'" in refusal(ACCEPTED, laxer)
    assert "the upper end of an interval is below its lower one" in refusal(ACCEPTED, turned)


def test_parts_about_other_classes_are_refused_before_a_page_is_made_of_them():
    changes = {
        "after.per_class: the queried class 'dog' is missing": lambda s: s["after"]["per_class"].pop("dog"),
        "before.per_class: the class 'ape' is missing": lambda s: s["before"]["per_class"].pop("ape"),
        "forgetting.per_class: 'x' does not belong": lambda s: s["forgetting"]["per_class"].update(x=0.0),
        "forgetting.per_class_ci95: ": lambda s: s["forgetting"]["per_class_ci95"].clear(),
        "after.thresholds: ": lambda s: s["after"]["thresholds"].clear(),
        "after.confusion: has not a row": lambda s: s["after"]["confusion"].pop(),
        "student: a class stands there twice": lambda s: s["student"].update(query=["ape"]),
        "student.images: the section 'test' is missing": lambda s: s["student"]["images"].pop("test"),
        "teachers.0.mask: ": lambda s: s["teachers"][0]["mask"].clear(),
        "after.calibration.bins: ": lambda s: s["after"]["calibration"]["bins"].pop(),
        "after.confusion.0.0: ": lambda s: s["after"]["confusion"][0].__setitem__(0, 10**30),
        "after.query_recall: ": lambda s: s["after"].update(query_recall=math.nan),
    }
    for problem, change in changes.items():
        assert problem in refusal(REFUSED, change), problem


def test_a_report_is_made_again_only_of_figures_that_go_with_what_was_counted(tmp_path):
    raw = deepcopy(REFUSED)
    raw["after"]["per_class"]["dog"] |= {"recall": None, "recall_ci95": None}
    (tmp_path / "summary.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"after\.per_class\.dog\.recall: is not the share"):
        report(tmp_path, Console(quiet=True), again=True)
    assert not (tmp_path / "report.html").exists()
