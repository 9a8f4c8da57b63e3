import pytest

from clinical_qkt.evidence.evaluation import Evaluation
from clinical_qkt.review.report import facts


def test_mistakes_are_sorted_and_leave_out_what_did_not_change(made):
    summary = made(known=("a", "b"), query=("c",), images=10, queried_images=20)
    summary.before.confusion = [[9, 1, 0], [2, 8, 0], [10, 10, 0]]
    summary.after.confusion = [[8, 1, 1], [0, 7, 3], [0, 1, 19]]
    found = facts.mistakes(summary)
    assert [(m.true, m.called, m.before, m.after, m.more) for m in found] == [
        ("b", "c", 0, 3, 30.0),
        ("a", "c", 0, 1, 10.0),
        ("b", "a", 2, 0, -20.0),
        ("c", "b", 10, 1, -45.0),
        ("c", "a", 10, 0, -50.0),
    ]


def test_the_default_is_what_the_confusion_says(made):
    summary = made(known=("a", "b"), query=("c",), images=10, queried_images=20)
    summary.after.confusion = [[8, 1, 1], [0, 7, 3], [0, 1, 19]]
    assert facts.defaults(summary) == {"c": facts.Default(19, 20, 4, 20)}


def test_what_is_called_a_queried_class_is_told_by_class_the_most_frequent_first(made):
    summary = made(known=("a", "b"), query=("c",), images=10, queried_images=20)
    summary.after.confusion = [[8, 1, 1], [0, 7, 3], [0, 1, 19]]
    rows = facts.called(summary, "c")
    assert [(r.true, r.hits, r.images) for r in rows] == [("b", 3, 10), ("a", 1, 10)]
    assert rows[0].interval[0] < 0.3 < rows[0].interval[1]
    assert [r.interval for r in facts.called(made(patients=9), "dog")] == [None] * 3


def test_classes_that_lost_as_much_as_the_worst_are_all_named(made):
    assert facts.lost_most(made()) == ["ape", "bee", "cat"]
    assert facts.lost_most(made(wrong=0)) == []
    summary = made()
    summary.forgetting.per_class |= {"ape": 0.01, "bee": None}
    assert facts.lost_most(summary) == ["cat"]


def test_of_the_thresholds_some_are_shown(made):
    shown = [round(row.threshold, 2) for row in facts.thresholds(made(), "dog")]
    assert shown == [0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95]


def test_sure_and_unsure_images_are_all_images(made):
    part = made().after
    sure, unsure = facts.sure_and_unsure(part)
    assert sure.images + unsure.images == part.calibration.images
    assert sure.right + unsure.right == sum(part.confusion[i][i] for i in range(4))
    assert sure.stated > facts.SURE > unsure.stated


def test_too_sure_and_too_modest(made):
    def part(bins) -> Evaluation:
        found = made().after
        found.calibration.bins = bins
        return found

    one = made().after.calibration.bins[9].model_copy(update={"images": 10, "stated": 0.95})
    too_sure, modest = (one.model_copy(update={"right": right}) for right in (0.8, 1.0))
    assert facts.overconfidence(part([too_sure])) == pytest.approx(0.15)
    assert facts.overconfidence(part([modest])) == pytest.approx(-0.05)
    assert facts.overconfidence(part([])) is None


def test_bins_without_any_image_are_left_out_and_patients_leave_no_interval(made):
    rows = facts.bins(made())
    assert [row.low for row in rows] == [0.8, 0.9] and all(row.interval for row in rows)
    assert [row.interval for row in facts.bins(made(patients=9))] == [None, None]
