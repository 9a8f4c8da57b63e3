import datetime

import pytest

from clinical_qkt.review.report import rule
from clinical_qkt.review.report.reasons import reasons

ALL = ("query_recall", "false_alarms", "forgetting", "worst_forgetting", "calibration_error")


def test_each_line_holds_what_was_measured_and_its_bad_end(made):
    found, alarms, lost, worst, doubt = rule.lines(made())
    assert (found.measured, found.worst, found.bound, found.outcome) == ("90", "73", "at least 50", "met")
    assert (alarms.measured, alarms.worst, alarms.bound) == ("2.5", "7.1", "at most 10")
    assert (lost.measured, lost.worst) == ("7.5", "14") and (worst.measured, worst.worst) == ("7.5", "20")
    assert worst.what == "Lost by the class that lost most (ape, bee and cat)"
    assert (found.images, alarms.images, doubt.images) == ("30 images", "120 images", "150 images")
    assert {line.whose for line in (found, alarms, lost, worst, doubt)} == {"default"}


@pytest.mark.parametrize("given", [{}, {"wrong": 20}, {"queried_images": 0}, {"images": 0}, {"wrong": 0}])
def test_a_model_is_accepted_exactly_where_every_line_is_met(made, given):
    summary = made(**given)
    outcomes = [line.outcome for line in rule.lines(summary)]
    assert (outcomes == ["met"] * 5) == summary.accepted == (reasons(summary) == [])
    assert ("not met" in outcomes) == summary.refused
    assert len(rule.open_lines(summary)) == outcomes.count("undecided")


def test_a_figure_never_looks_as_if_it_lay_on_the_other_side_of_the_limit(made):
    summary = made()
    c = summary.criteria[0]
    c.limit, c.measured, c.ci95 = 50.0, 0.9, [0.4996, 1.0]
    assert rule.lines(summary)[0].worst == "49.96"
    c = summary.criteria[2]
    c.limit, c.measured, c.ci95 = 2.0, 0.02, [0.0, 0.02004]
    line = rule.lines(summary)[2]
    assert (line.measured, line.worst) == ("2.0", "2.004")


def test_a_class_that_got_better_has_gained_and_no_loss_has_a_sign(made):
    summary = made()
    c = summary.criteria[3]
    c.measured, c.ci95 = -0.02, [-0.1, 0.03]
    line = rule.lines(summary)[3]
    assert (line.measured, line.worst) == ("gained 2.0", "3.0")


def test_what_is_open_says_how_many_images_would_decide(made):
    summary = made(wrong=20)
    told = rule.open_lines(summary)
    assert told == [
        "Recognised: with about 40 images of dog (now 30), if as many are recognised, it would be decided.",
        "Lost by one class: with about 230 images of the class that lost most (now 40), if it lost as "
        "much, it would be decided.",
    ]
    unknown = rule.open_lines(made(queried_images=0))
    assert unknown == ["Recognised: at least 6 images of dog are needed, if all goes well on them."]
    at_limit = rule.open_lines(made(queried_images=6))
    assert "no reasonable number of images would decide it" in at_limit[0]


def test_it_is_told_whose_rule_it_is(made):
    assert "software's default limits" in rule.whose(made()) and "nobody at the hospital" in rule.whose(
        made()
    )
    date = datetime.date(2026, 11, 1)
    own = rule.whose(made(own=ALL, date=date))
    assert (
        own.startswith("Judged by the hospital's rule of 1 November 2026 (digest ") and "default" not in own
    )
    assert "date not told" in rule.whose(made(own=ALL))
    mixed = made(own=("false_alarms",), date=date)
    assert "in the lines marked “hospital”" in rule.whose(mixed) and "default limits" in rule.whose(mixed)
    assert [line.whose for line in rule.lines(mixed)].count("hospital") == 1


def test_it_is_told_how_often_the_test_images_were_used_before(made):
    summary = made()
    told = rule.tries(summary)
    assert "no other model was judged before" in told and "since 20 November 2026" in told
    summary.rule.judged_before, summary.rule.rules_before = 3, 2
    told = rule.tries(summary)
    assert "3 other models were judged before, and 2 other rules used" in told and "by chance" in told
    summary.rule.judged_before, summary.rule.rules_before = 0, 1
    assert "no other model was judged before, and 1 other rule used" in rule.tries(summary)


def test_reasons_name_the_failed_lines_first_with_both_ends(made):
    found = reasons(made(wrong=20))
    assert found[0] == (
        "false alarms: 16.7 of 100 images of other classes are called a queried class (10.5 to 24.6), 10 are "
        "allowed"
    )
    assert found[-1].startswith("ape, bee and cat lost 50 points of recall each (a class may have lost 66)")
    assert [("cannot be decided yet" in told) for told in found] == [False] * 3 + [True] * 2
    unknown = reasons(made(queried_images=0))
    assert len(unknown) == 1 and "what was gained is unknown; at least 6 images" in unknown[0]
