from itertools import product

import pytest

from clinical_qkt.report import facts


@pytest.mark.parametrize(
    ("images", "wrong", "rule"),
    list(
        product(
            (0, 6, 30),
            (0, 1, 3, 6),
            (
                {},
                {"query_recall": 90.0},
                {"worst_forgetting": 3.0},
                {"calibration_error": 1.0},
                {"query_recall": 0.0, "worst_forgetting": 100.0, "calibration_error": 100.0, "budget": 100},
            ),
        )
    ),
)
def test_a_model_is_accepted_exactly_where_every_part_of_the_rule_is_met(made, images, wrong, rule):
    summary = made(queried_images=images, wrong=wrong, **rule)
    demands = facts.demands(summary)
    assert all(d.met for d in demands) == summary["accepted"]
    assert sum(not d.met for d in demands) == len(summary["against"])


def test_what_was_measured_never_looks_as_if_it_lay_on_the_other_side_of_the_limit(made):
    summary = made(budget=2)
    summary["forgetting"]["mean"] = 0.02004
    found = facts.demands(summary)[1]
    assert (found.asked, found.measured, found.met) == ("at most 2", "2.004", False)
    summary["forgetting"]["mean"] = 0.02
    assert facts.demands(summary)[1] == found._replace(measured="2.0", met=True)
    summary["after"]["query_recall_ci95"] = [0.4996, 1.0]
    assert facts.demands(summary)[0].measured == "49.96" and not facts.demands(summary)[0].met


def test_mistakes_are_sorted_and_leave_out_what_did_not_change(made):
    summary = made(known=("a", "b"), query=("c",), images=10, queried_images=20)
    summary["before"]["confusion"] = [[9, 1, 0], [2, 8, 0], [10, 10, 0]]
    summary["after"]["confusion"] = [[8, 1, 1], [0, 7, 3], [0, 1, 19]]
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
    summary["after"]["confusion"] = [[8, 1, 1], [0, 7, 3], [0, 1, 19]]
    assert facts.defaults(summary) == {"c": facts.Default(19, 20, 4, 20)}


def test_sure_and_unsure_images_are_all_images(made):
    part = made()["after"]
    sure, unsure = facts.sure_and_unsure(part)
    assert sure.images + unsure.images == part["calibration"]["images"]
    assert sure.right + unsure.right == sum(part["confusion"][i][i] for i in range(4))
    assert sure.stated > facts.SURE > unsure.stated


def test_too_sure_and_too_modest():
    def part(stated, right):
        return {"calibration": {"bins": [{"low": 0.9, "images": 10, "stated": stated, "right": right}]}}

    assert facts.overconfidence(part(0.95, 0.8)) == pytest.approx(0.15)
    assert facts.overconfidence(part(0.95, 1.0)) == pytest.approx(-0.05)
    assert facts.overconfidence({"calibration": {"bins": []}}) is None
