"""What a new model must show on test images before it counts as accepted: a section of the site's YAML."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from clinical_qkt.values import Strict


class Acceptance(Strict):
    """The site's rule, besides its forgetting budget. What is unknown fulfils no part of it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    query_recall: float = Field(default=50.0, ge=0, le=100)
    """Of 100 test images of the queried classes, how many are recognised at least, at the lower end of the
    95 % interval. By default, the class must be recognised more often than not."""
    worst_forgetting: float = Field(default=10.0, ge=0, le=100)
    """Points of recall that a single retained class may lose."""
    calibration_error: float = Field(default=15.0, ge=0, le=100)
    """Points by which the stated probability and the share of right answers may differ on average (expected
    calibration error)."""


def decision(after: dict[str, Any], lost: dict[str, Any], budget: float, rule: Acceptance) -> dict[str, Any]:
    """Whether the model may be accepted, by what it does on test images, and all that speaks against it.

    Args:
        after: that part of the summary.
        lost: ``{mean, worst, per_class}``, see ``metrics.forgetting``.
        budget: the forgetting budget in points.
    """
    against = [*_gain(after, rule), *_loss(lost, budget, rule), *_doubt(after, rule)]
    return {
        "accepted": not against,
        "against": against,
        "budget": {"forgetting": budget},
        "acceptance": rule.model_dump(),
    }


def _gain(after: dict[str, Any], rule: Acceptance) -> list[str]:
    if after["query_recall"] is None:
        return ["there are no test images of a queried class, so what was gained is unknown"]
    if after["query_recall"] == 0:
        return ["no test image of the queried classes is recognised"]
    low = 100 * after["query_recall_ci95"][0]
    if low < rule.query_recall:
        return [
            f"it may be that only {low:.0f} of 100 images of the queried classes are recognised (lower end "
            f"of the 95 % interval), at least {rule.query_recall:g} are asked for"
        ]
    return []


def _loss(lost: dict[str, Any], budget: float, rule: Acceptance) -> list[str]:
    if lost["mean"] is None:
        return ["there are no test images of the retained classes, so what was lost is unknown"]
    against = []
    if 100 * lost["mean"] > budget:
        against.append(
            f"{100 * lost['mean']:.1f} points of recall were lost on average, {budget:g} were allowed"
        )
    if 100 * lost["worst"] > rule.worst_forgetting:
        name = next(n for n, v in lost["per_class"].items() if v == lost["worst"])
        against.append(
            f"{name} lost {100 * lost['worst']:.1f} points of recall, {rule.worst_forgetting:g} were allowed "
            "for a single class"
        )
    return against


def _doubt(after: dict[str, Any], rule: Acceptance) -> list[str]:
    error = after["calibration"]["error"]
    if error is None or 100 * error <= rule.calibration_error:
        return []
    return [
        f"its stated probabilities are off by {100 * error:.1f} points on average, "
        f"{rule.calibration_error:g} were allowed"
    ]
