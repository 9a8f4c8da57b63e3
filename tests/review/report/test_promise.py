"""The promise: what is told of it in each state, and what stands beside it."""

import pytest

from clinical_qkt.review.report import figures, page, promise
from clinical_qkt.review.report.alternatives import promised


def within(summary, state="shown", **held_out):
    """A summary whose promise is in a state, by other images."""
    fit = summary.method.fit
    fit.state = state
    for name, number in held_out.items():
        setattr(fit.held_out, name, number)
    return summary


def earlier(summary, mean=0.4, worst=1.0, state="estimated"):
    """As if an earlier version had spent the budget."""
    fit = summary.method.fit
    fit.promise = fit.held_out = fit.loss.mean_bound = fit.loss.worst_bound = None
    fit.loss.mean, fit.loss.worst, fit.state = mean, worst, state
    return summary


def test_limits_and_confidence_are_told_as_they_were_asked_for(made):
    told = promise.told(made(budget=2))
    assert (
        "at most 2 points of recall on average, and none of them more than 5, at a confidence of 75" in told
    )


@pytest.mark.parametrize(
    ("state", "held_out", "said"),
    [
        ("shown", {}, "Shown, by 100 validation images and 812 training images, each of these judged by"),
        ("shown", {"cross_fitted": 0}, "Shown, by 912 validation images."),
        ("estimated", {"fewest": 5}, "to show it. The class with fewest has 5; 40 of each would do, if none"),
        ("estimated", {"needed": None}, "no number would do, since nothing may be lost."),
        ("not kept", {}, "no setting keeps both limits, so the least costly one was taken."),
    ],
)
def test_each_state_is_one_plain_sentence(made, state, held_out, said):
    assert said in promise.told(within(made(), state, **held_out))


@pytest.mark.parametrize(
    ("mean", "worst", "said"),
    [
        (0.4, 1.0, "0.4 points were lost on average, and the class that lost most lost 1.0."),
        (0.0, 2.5, "nothing was lost on average, and the class that lost most lost 2.5."),
        (-0.3, 0.0, "0.3 points were gained on average, and no class lost anything."),
    ],
)
def test_of_an_earlier_versions_transfer_what_was_spent_is_told(made, mean, worst, said):
    summary = earlier(made(), mean, worst)
    assert promise.told(summary) == f"On the hospital's own validation images {said}"
    assert "promise" not in figures.wanted(summary) and "Promised against measured" not in page.page(
        summary, {}
    )


def test_an_earlier_versions_budget_that_was_not_kept_is_told_so(made):
    assert "the least costly setting was taken" in promise.told(earlier(made(), state="not kept"))


def test_what_was_lost_on_test_images_stands_beside_each_limit_with_its_interval(made):
    summary = made(budget=2)
    mean, worst = promise.both(summary)
    assert (mean.limit, mean.held_out, mean.bound) == pytest.approx((0.02, 0.004, 0.0175))
    assert (mean.tested, mean.ends) == (summary.forgetting.mean, summary.forgetting.mean_ci95)
    assert (worst.tested, worst.ends) == (summary.forgetting.worst, summary.forgetting.worst_ci95)
    shown = page.page(summary, {})
    assert (
        "lost 1.8 at most" in shown and promise.why(summary.method.fit, summary.method.fit.held_out) in shown
    )


def test_without_test_images_the_promise_is_told_and_what_was_lost_is_unknown(made):
    summary = made(images=0)
    shown = page.page(summary, {})
    assert "unknown<small>–</small>" in shown and "None" not in promised(summary)
    assert len(figures.drawn(summary, ["promise"])["promise"].axes) == 1


def test_the_figure_has_a_bar_for_each_limit_and_reaches_over_all_that_is_drawn(made):
    (axes,) = figures.drawn(made(budget=2), ["promise"])["promise"].axes
    bars = [line for line in axes.lines if line.get_linewidth() == 3]
    assert [line.get_xdata()[0] for line in bars] == [2, 5]
    low, high = axes.get_xlim()
    assert all(low < x < high for line in axes.lines[:-1] for x in line.get_xdata())
