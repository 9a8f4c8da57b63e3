"""What is promised of the classes known before, whether own images show it, and what test images say."""

from __future__ import annotations

from typing import NamedTuple

from clinical_qkt.evidence.intervals import Interval
from clinical_qkt.review.budget_fit import Fit, HeldOutImages, Promised
from clinical_qkt.review.report import facts
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.spelled import counted, lost, rate

STATES = {"shown": "Shown", "estimated": "Estimated, not shown", "not kept": "Not kept"}
KINDS = {"shown": "yes", "estimated": "open", "not kept": "no"}
"""How a state is marked where it is drawn."""


class Limit(NamedTuple):
    """One limit beside what was found: shares of recall, None where nothing is known.

    Attributes:
        what: is limited.
        limit: of it.
        held_out, bound: lost on held-out images; and at most, at the promise's confidence.
        tested, ends: lost on test images; and its 95 % interval.
    """

    what: str
    limit: float
    held_out: float
    bound: float | None
    tested: float | None
    ends: Interval | None


def told(summary: Summary) -> str:
    """What is promised, and whether that is shown; of an earlier version's transfer what was spent."""
    fit = summary.method.fit
    if fit.promise is None or fit.held_out is None:
        return f"On the hospital's own validation images {_spent(fit)}"
    return f"{limits(fit.promise)} {STATES[fit.state]}{why(fit, fit.held_out)}"


def both(summary: Summary) -> list[Limit]:
    """The limits on average and for a single class; empty where an earlier version promised nothing."""
    promise, fit, test = summary.method.fit.promise, summary.method.fit.loss, summary.forgetting
    if promise is None:
        return []
    found = (
        ("on average", promise.mean, fit.mean, fit.mean_bound, test.mean, test.mean_ci95),
        ("by a single class", promise.worst, fit.worst, fit.worst_bound, test.worst, test.worst_ci95),
    )
    return [
        Limit(what, limit / 100, mean / 100, None if bound is None else bound / 100, tested, ends)
        for what, limit, mean, bound, tested, ends in found
    ]


def at_most(bound: float | None) -> str:
    """An upper bound of a loss, in words; below zero it is what was gained at least.

    >>> at_most(0.018), at_most(-0.011), at_most(None)
    ('lost 1.8 at most', 'gained 1.1 at least', 'unknown')
    """
    if bound is None:
        return lost(bound)
    return f"{lost(bound)} at {'most' if bound >= 0 else 'least'}"


def limits(promise: Promised) -> str:
    """What is promised, in a sentence."""
    return (
        "What is to be promised: on new images like the hospital's, the classes known before lose at most "
        f"{promise.mean:g} points of recall on average, and none of them more than {promise.worst:g}, at a "
        f"confidence of {100 * promise.confidence:.3g} of 100."
    )


def why(fit: Fit, images: HeldOutImages) -> str:
    """By which images the promise is in this state; goes on after the state."""
    if fit.state == "shown":
        return f", by {_images(images)}."
    if fit.state == "not kept":
        return f": by {_images(images)} no setting keeps both limits, so the least costly one was taken."
    enough = "no number would do, since nothing may be lost"
    if images.needed is not None:
        enough = f"{images.needed:,} of each would do, if none of them were lost"
    return (
        f": {_images(images)} are too few to show it. The class with fewest has {images.fewest:,}; {enough}. "
        "The estimates alone are within the limits."
    )


def _images(held_out: HeldOutImages) -> str:
    """Images of own classes; who judged those that were trained with."""
    validation = counted(held_out.images - held_out.cross_fitted, "validation image")
    if not held_out.cross_fitted:
        return validation
    trained = counted(held_out.cross_fitted, "training image")
    return f"{validation} and {trained}, each of these judged by a model made without it (cross-fitting)"


def _spent(fit: Fit) -> str:
    """Goes on after 'on … validation images'."""
    mean, worst = fit.loss.mean / 100, fit.loss.worst / 100
    kind = "lost" if mean > 0 else "gained"
    told = "nothing was lost" if abs(mean) < facts.TIED else f"{rate(abs(mean))} points were {kind}"
    each = f"the class that lost most {lost(worst)}" if worst > facts.TIED else "no class lost anything"
    within = (
        ": learning the class cost more than the budget before any of it could be spent, so the least costly "
        "setting was taken"
    )
    return f"{told} on average, and {each}{within if fit.state == 'not kept' else ''}."
