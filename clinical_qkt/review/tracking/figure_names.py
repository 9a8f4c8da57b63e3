"""Under which names a transfer's figures stand in MLflow; ``docs/reference/mlflow.md`` lists them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH

from clinical_qkt.core.terms import ACCEPTED, UNDECIDED
from clinical_qkt.evidence.evaluation import Evaluation, FalseAlarms
from clinical_qkt.evidence.looks import BEYOND
from clinical_qkt.evidence.others import MeasuredByOthers
from clinical_qkt.evidence.parts import Looks
from clinical_qkt.review.budget_fit import Fit
from clinical_qkt.review.summary_schema import TransferSummary

_BEFORE_CLASS = re.compile(
    r"(before|after|others)/(recall|recall_low|recall_high|precision|f1|auroc|false_alarms)/|(forgetting|recall)/"
)
"""What stands before a class in the name of a metric."""
_OVERALL = ("mean", "worst", "worst_high", "mean_loss", "mean_loss_high")
"""What stands below ``forgetting/`` and is no class."""


def metric_name(name: str) -> str:
    """A name that MLflow takes, and that no other name gets.

    Of ``after/recall/CLASS`` and the like the class is looked at, of other names all. What MLflow refuses in
    it, and ``:``, becomes ``_``; wherever something was changed, ``:`` and eight digits of a digest of the
    class's own name follow.
    """
    head = _BEFORE_CLASS.match(name)
    start = head.end() if head else 0
    before, part = name[:start], name[start:]
    most = MAX_ENTITY_KEY_LENGTH - len(before)
    plain = re.sub(r"[^\w\-./ ]", "_", part)
    plain = "/".join(re.sub(r"^(\.\.|\.$|$)", "_", p) for p in plain.split("/"))  # no step of a path
    if plain == part and 0 < len(part) <= most:
        return name
    mark = ":" + hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return before + plain[: most - len(mark)] + mark


def evaluation_figures(when: str, part: Evaluation) -> dict[str, float | None]:
    """The part ``before`` or ``after`` of a summary under its MLflow names."""
    low, high = _ends(part.query_recall_ci95)
    found = {
        f"{when}/query_recall": part.query_recall,
        f"{when}/query_recall_low": low,
        f"{when}/query_recall_high": high,
        **_false_alarms(when, part.false_alarms),
        f"{when}/retained_recall": part.retained_recall,
        f"{when}/calibration_error": part.calibration.error,
        f"{when}/calibration_error_high": _ends(part.calibration.ci95)[1],
    }
    for name, row in part.per_class.items():
        found |= {
            f"{when}/recall/{name}": row.recall,
            f"{when}/precision/{name}": row.precision,
            f"{when}/f1/{name}": row.f1,
            f"{when}/auroc/{name}": row.auroc,
        }
    return found


def _false_alarms(when: str, told: FalseAlarms) -> dict[str, float | None]:
    """Of the images of other classes the share that is called a queried one: of all of them, and of each."""
    overall = told.overall
    low, high = _ends(overall.ci95)
    return {
        f"{when}/false_alarms": overall.share,
        f"{when}/false_alarms_low": low,
        f"{when}/false_alarms_high": high,
        **{f"{when}/false_alarms/{name}": row.share for name, row in told.per_class.items()},
    }


def figures(summary: TransferSummary) -> dict[str, float | None]:
    """A transfer summary's figures under their MLflow names."""
    lost = summary.forgetting
    return {
        "accepted": float(summary.verdict == ACCEPTED),
        "undecided": float(summary.verdict == UNDECIDED),
        **evaluation_figures("after", summary.after),
        **{_forgetting(name): value for name, value in lost.per_class.items()},
        "forgetting/mean": lost.mean,
        "forgetting/worst": lost.worst,
        "forgetting/worst_high": _ends(lost.worst_ci95)[1],
        "forgetting/mean_loss": lost.mean_loss,
        "forgetting/mean_loss_high": _ends(lost.mean_loss_ci95)[1],
        **held_out_figures(summary.method.fit),
        **evaluation_figures("before", summary.before),
        **({} if summary.looks is None else _looks(summary.looks)),
        **others_figures(summary.others),
        "bytes_received": float(summary.bytes_received),
    }


def others_figures(told: MeasuredByOthers | None) -> dict[str, float | None]:
    """What other hospitals measured, over all of them; empty where nobody has."""
    if told is None:
        return {}
    low, high = _ends(told.false_alarms.ci95)
    found: dict[str, float | None] = {
        "others/sites": float(len(told.sites)),
        "others/false_alarms": told.false_alarms.share,
        "others/false_alarms_low": low,
        "others/false_alarms_high": high,
    }
    for name, row in told.classes.items():
        low, high = _ends(row.ci95)
        found |= {f"others/recall/{name}": row.recall}
        found |= {f"others/recall_low/{name}": low, f"others/recall_high/{name}": high}
    return found


def _looks(told: Looks) -> dict[str, float | None]:
    """How far other sites' images look different, at most; and by site, over its answers."""
    used = [one for one in told.sites if one.used]
    found: dict[str, float | None] = {"looks/beyond": float(sum(o.outcome == BEYOND for o in used))}
    for site in (None, *dict.fromkeys(one.site for one in used)):
        mine = [one for one in used if site in (None, one.site)]
        below = "" if site is None else f"/{site}"
        found[f"looks/distance{below}"] = _most(one.distance for one in mine)
        found[f"looks/left{below}"] = _most(one.left for one in mine)
    return found


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def held_out_figures(fit: Fit) -> dict[str, float | None]:
    """What held-out images showed when the forgetting budget was spent; losses in points."""
    images = fit.held_out
    return {
        **{f"held_out/{name}": points for name, points in fit.loss.model_dump().items()},
        "held_out/false_alarms": fit.false_alarms,
        "held_out/images": images and float(images.images),
        "held_out/cross_fitted": images and float(images.cross_fitted),
        "held_out/fewest": images and float(images.fewest),
    }


def _ends(interval: Sequence[float] | None) -> tuple[float | None, float | None]:
    """Both ends of a 95 % interval, which is unknown without images."""
    low, high = interval or (None, None)
    return low, high


def _forgetting(name: str) -> str:
    """Where a class's loss stands; a class that is called as an overall figure is gets a mark before it."""
    return f"forgetting/:{name}" if name.lstrip(":") in _OVERALL else f"forgetting/{name}"
