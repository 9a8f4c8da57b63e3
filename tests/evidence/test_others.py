"""What other hospitals measured: every true count that goes with what they told lies within the interval."""

from __future__ import annotations

import itertools

import pytest

from clinical_qkt.evidence import evaluation
from clinical_qkt.evidence.criteria import on_own_images
from clinical_qkt.evidence.intervals import mean, proportion
from clinical_qkt.evidence.others import (
    ToldBySite,
    ToldClass,
    alarms_of,
    heard,
    measured_by_others,
    pooled,
    recall_of,
)
from tests.review.report.conftest import made

QUERY = ["dog"]
TINY = 1e-9


def told(site: str, images: int = 95, recall: int = 97, called: int | None = 5, others: int = 300, **more):
    dog = {"images": images, "recall": recall, "called": called, **more}
    tested = evaluation.Tested(images=others) if others else None
    return ToldBySite(
        site=site, signature="trusted", card_sha256=site, rounding=5, others=tested,
        classes={"dog": ToldClass(**dog)},
    )  # fmt: skip


def possible(images: int, percent: int) -> list[tuple[int, int]]:
    """True numbers of images and hits that are told so."""
    sizes = range(images, images + 5)
    return [(n, k) for n in sizes for k in range(n + 1) if round(100 * k / n) == percent]


@pytest.mark.parametrize(("images", "percent"), [(20, 100), (20, 0), (25, 52), (95, 97)])
def test_a_recall_of_rounded_counts_holds_the_interval_of_whatever_the_true_ones_are(images, percent):
    found = pooled([recall_of(ToldClass(images=images, recall=percent), 5)])
    true = [proportion(k, n) for n, k in possible(images, percent)]
    assert len(true) > 1
    assert found.ci95[0] <= min(low for low, _ in true) and found.ci95[1] >= max(high for _, high in true)
    assert found.ci95[1] - found.ci95[0] < 0.06 + max(high - low for low, high in true)


def test_two_hospitals_together_hold_every_pair_of_true_counts():
    one, other = (20, 55), (40, 98)
    found = measured_by_others([told("a", *one), told("b", *other)], QUERY).classes["dog"]
    for (n, k), (m, j) in itertools.product(possible(*one), possible(*other)):
        low, high = proportion(k + j, n + m)
        assert found.ci95[0] <= low + TINY and high <= found.ci95[1] + TINY
    assert (found.images, found.sites, found.lowest, found.highest) == (60, 2, 0.55, 0.98)
    assert found.recall == pytest.approx((0.55 * 20 + 0.98 * 40) / 60, abs=1e-6)


@pytest.mark.parametrize(("called", "others"), [(0, 100), (10, 300), (95, 100)])
def test_false_alarms_hold_every_true_count_above_the_rounded_one(called, others):
    found = pooled([alarms_of(told("a", called=called, others=others), QUERY)])
    for c, n in itertools.product(range(called, called + 5), range(others, others + 5)):
        low, high = proportion(min(c, n), n)
        assert found.ci95[0] <= low + TINY and high <= found.ci95[1] + TINY


def test_a_hospital_that_tells_no_false_alarms_of_one_class_is_left_out_of_all():
    site = told("a").model_copy(update={"classes": {"dog": ToldClass(declined="few", called=5)}})
    assert alarms_of(site, QUERY) and alarms_of(site, ["dog", "cow"]) is None
    assert alarms_of(told("a", called=None), QUERY) is None and alarms_of(told("a", others=0), QUERY) is None
    found = measured_by_others([site], QUERY)
    assert found.classes["dog"].recall is None and found.classes["dog"].sites == 0
    assert found.false_alarms.sites == 1


def test_where_patients_are_named_each_counts_once():
    images = pooled([recall_of(ToldClass(images=100, recall=90), 5)])
    patients = pooled([recall_of(ToldClass(images=100, patients=25, recall=90), 5)])
    assert patients.ci95[0] < images.ci95[0] and patients.tested.patients == 25
    low = proportion(0.895 * 25, 25)[0]
    assert patients.ci95[0] == pytest.approx(low, abs=0.01)


def test_the_rule_goes_by_the_evidence_that_it_names():
    own, others = made().after, measured_by_others([told("a"), told("b", images=40, recall=90)], QUERY)
    assert heard("own", own, QUERY, others) == on_own_images(own)
    theirs, both = heard("others", own, QUERY, others), heard("both", own, QUERY, others)
    assert theirs.query_recall.share == others.classes["dog"].recall
    assert theirs.query_recall.tested.images == 135 and both.query_recall.tested.images == 165
    assert both.query_recall.share == pytest.approx((0.97 * 95 + 0.9 * 40 + 27) / 165, abs=1e-6)
    assert both.false_alarms.tested.images == 720
    nobody = heard("others", own, QUERY, None)
    assert nobody.query_recall.share is None and nobody.false_alarms.ci95 is None
    alone = heard("both", own, QUERY, None)
    assert alone.query_recall.ci95 == pytest.approx(own.query_recall_ci95, abs=0.002)


def test_of_several_classes_the_mean_counts_and_one_that_nobody_measured_leaves_it_open():
    classes = {
        "dog": ToldClass(images=100, recall=90, called=0),
        "cow": ToldClass(images=50, recall=70, called=5),
    }
    site = told("a").model_copy(update={"classes": classes})
    others = measured_by_others([site], ["dog", "cow"])
    two = made(query=("dog", "cow")).after
    found = heard("others", two, ["dog", "cow"], others).query_recall
    ends = [others.classes[c].ci95 for c in ("dog", "cow")]
    assert found.share == pytest.approx(0.8) and found.ci95 == pytest.approx(mean([0.9, 0.7], ends), abs=1e-4)
    classes["cow"] = ToldClass(declined="few", called=5)
    fewer = measured_by_others([told("a").model_copy(update={"classes": classes})], ["dog", "cow"])
    assert heard("others", two, ["dog", "cow"], fewer).query_recall.share is None
