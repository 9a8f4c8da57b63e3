"""Parts of a summary that need a model's probabilities, with chosen figures."""

from __future__ import annotations

from typing import Any

from clinical_qkt.evidence.acceptance import LookLimits
from clinical_qkt.evidence.looks import decided, judged
from clinical_qkt.evidence.parts import (
    Abstention,
    AbstentionPoint,
    Counted,
    NetBenefit,
    NetBenefitPoint,
    PrecisionRecall,
    SiteLook,
)
from clinical_qkt.review.summary_schema import TransferSummary


def with_parts(summary: TransferSummary, site: bool = True, **parts: Any) -> TransferSummary:
    """The same summary with abstention, decision curves and precision-recall curves.

    Args:
        site: whether the site told its prevalence, which is 2 %.
        parts: instead of the made ones.
    """
    query, origins = summary.student.query, ["test images", "site"] if site else ["test images"]
    made = {
        "abstention": abstention(),
        "net_benefit": [benefit(q, origin) for q in query for origin in origins],
        "precision_recall": [curve(q, origin) for q in query for origin in origins],
    }
    return summary.model_copy(update=made | parts)


def looking(site: str = "hospital_2", distance: float | None = 0.1, **told: Any) -> SiteLook:
    """How the images behind a model look; with ``query`` those behind an answer by statistics."""
    gave = "statistics" if "query" in told else "model"
    about = {"gave": gave, "query": None, "used": True, "shared": ["ape"], "mapped": False, "left": None}
    return SiteLook(**({"site": site, "distance": distance, "length": None} | about | told))


def with_looks(summary: TransferSummary, *sites: SiteLook, **limits: float) -> TransferSummary:
    """The same summary where other sites' images look so, and the verdict that follows."""
    looks = judged(LookLimits(**limits), sites)
    return summary.model_copy(update={"looks": looks, "verdict": decided(looks, summary.criteria)})


def abstention() -> Abstention:
    """Of 384 images 97 are left to a person at 90 %; one of the rest is wrong. Nothing is 99 % sure."""
    points = [point(0.0, 384, 30), point(0.8, 320, 8), point(0.9, 287, 1), point(0.99, 0, 0)]
    return Abstention(images=384, points=points)


def point(threshold: float, answered: int, wrong: int) -> AbstentionPoint:
    share = wrong / answered if answered else None
    reach = None if share is None else [share / 2, share + 0.01]
    none = Counted(count=0, images=0, share=None, ci95=None)
    return AbstentionPoint(
        threshold=threshold,
        answered=answered,
        looked_at=384 - answered,
        wrong=wrong,
        wrong_share=share,
        ci95=reach,
        missed=none,
        false_alarms=none,
    )


def benefit(query: str, origin: Any) -> NetBenefit:
    """Better than all and none from 10 % to 20 %."""
    points = [
        NetBenefitPoint(
            threshold=t, model=m, ci95=[m - 0.005, m], named=m, named_ci95=[m, m], call_all=-t, call_none=0.0
        )
        for t, m in ((0.05, 0.002), (0.1, 0.015), (0.2, 0.012), (0.5, -0.01))
    ]
    return NetBenefit(query=query, prevalence=_common(origin), prevalence_from=origin, points=points)


def curve(query: str, origin: Any) -> PrecisionRecall:
    """One that falls from all right to half of them."""
    return PrecisionRecall(
        query=query,
        prevalence=_common(origin),
        prevalence_from=origin,
        recall=[1.0, 0.9, 0.5, 0.0],
        precision=[0.5, 0.8, 1.0, 1.0],
        average_precision=0.9,
        ci95=[0.7, 0.95],
    )


def _common(origin: str) -> float:
    return 0.02 if origin == "site" else 0.25
