"""Summaries with chosen figures, made by the code that makes real ones: no model, no image."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.abstention import abstention
from clinical_qkt.evidence.acceptance import Acceptance
from clinical_qkt.evidence.criteria import decision
from clinical_qkt.evidence.evaluate import evaluate
from clinical_qkt.evidence.intervals import proportion
from clinical_qkt.evidence.losses import lost
from clinical_qkt.evidence.net_benefit import net_benefit
from clinical_qkt.evidence.precision_recall import precision_recall
from clinical_qkt.review.summary_schema import SCHEMA, TransferSummary

Summary = TransferSummary
RULE = {"query_recall": 50.0, "false_alarms": 10.0, "worst_forgetting": 40.0, "calibration_error": 25.0}
"""One that so few images can meet."""


def made(
    known: tuple[str, ...] = ("ape", "bee", "cat"),
    query: tuple[str, ...] = ("dog",),
    images: int = 40,
    queried_images: int = 30,
    wrong: int = 3,
    budget: float = 20,
    answers: bool = False,
    patients: int | None = None,
    prevalence: float | None = None,
    own: tuple[str, ...] = (),
    further: bool = False,
    **rule: Any,
) -> Summary:
    """A finished transfer's summary.

    Args:
        images: test images of each known class.
        queried_images: and of each queried one.
        wrong: how many images of each class the new model calls the next class.
        patients: whose images these are, so many by turns; nobody is named if None.
        prevalence: of the first queried class, in percent.
        own: the parts of the rule that the hospital wrote itself.
        further: with the parts that a summary may lack.
        rule: see ``Acceptance``.
    """
    names = [*known, *query]
    labels = LabelSpace(names)
    columns = list(range(len(known), len(names)))
    truth = np.repeat(np.arange(len(names)), [images] * len(known) + [queried_images] * len(query))
    whose = None if patients is None else np.array([f"p{i % patients}" for i in range(len(truth))])
    called = truth.copy()
    for c in range(len(names)):
        called[np.flatnonzero(truth == c)[:wrong]] = (c + 1) % len(names)
    stated = said(truth, truth % len(known), len(names), 0.99), said(truth, called, len(names), 0.97)
    common = {} if prevalence is None else {query[0]: prevalence}
    before, after = (evaluate(p, truth, labels, columns, whose, common) for p in stated)
    before_named, after_named = (p.argmax(1) if len(p) else np.zeros(0, int) for p in stated)
    losses = lost(before_named, after_named, truth, known, whose)
    few = any(queried_images < metrics.FEW for _ in query)
    asked = Acceptance(**RULE | rule)
    decided = decision(after, losses, budget, asked, frozenset(own))
    return TransferSummary.model_validate(
        {
            "schema": SCHEMA,
            "command": "transfer",
            "version": "0.0.0",
            "seed": 1,
            "device": "cpu",
            "identity": identity(),
            "data": {
                "name": "animals",
                "generated": True,
                "sha256": "0" * 64,
                "skipped": 0,
                "skipped_because": {},
                "patients": {"training": 9, "validation": 5, "test": patients},
            },
            "student": {
                "site": "hospital_1",
                "classes": list(known),
                "query": list(query),
                "images": {"training": 90, "validation": 30, "test": len(truth)},
                "prevalence": common,
            },
            "teachers": [] if answers else [teacher(f"hospital_{i}", known[0], query, few) for i in (2, 3)],
            "responses": [answer(f"hospital_{i}", query) for i in (2, 3, 4)] if answers else [],
            "method": {
                "variant": "statistics" if answers else "committee",
                "start_from": "committee",
                "started_from": "hospital_1",
                "head": "linear",
                "max_epochs": 0,
                "refine_epochs": 0,
                "fit": {
                    "bias": [1.5] * len(query),
                    "false_alarms": 0.01,
                    "state": "shown",
                    "loss": {"mean": 0.4, "mean_bound": 1.75, "worst": 1.0, "worst_bound": 4.5},
                    "promise": {"mean": budget, "worst": 2.5 * budget, "confidence": 0.75},
                    "held_out": {"images": 912, "cross_fitted": 812, "fewest": 200, "needed": 40},
                },
            },
            "before": before,
            "after": after,
            "forgetting": losses,
            "verdict": decided.verdict,
            "criteria": decided.criteria,
            "budget": {"forgetting": budget},
            "rule": {
                "date": asked.date and asked.date.isoformat(),
                "sha256": asked.digest(budget),
                "limits": asked.limits(budget),
                "used_since": "2026-11-20T08:00:00+00:00",
            },
            **(parts(stated[1], truth, names, columns, prevalence, whose) if further else {}),
            "untrusted_packages": [],
            "bytes_received": 12_345,
            "seconds": {},
        }
    )


def parts(
    stated: Any, truth: Any, names: list[str], query: list[int], prevalence: float | None, whose: Any
) -> dict[str, Any]:
    """Abstention, worth and precision of these answers; gate, groups and the model in use as they may be."""
    shares = [None] if prevalence is None else [None, prevalence / 100]
    every = [(c, names[c], p, whose) for c in query for p in shares]
    worth = [net_benefit(stated, truth, *each) for each in every]
    curves = [precision_recall(stated, truth, *each, draws=20) for each in every]
    some, few = counted(9, 12), counted(1, 40)
    return {
        "switch_off": {"quiet_checks": 100, "alarms_in_a_row": 2, "certain": 0.001},
        "abstention": abstention(stated, truth, query, whose).model_dump(),
        "net_benefit": [part.model_dump() for part in worth if part],
        "precision_recall": [part.model_dump() for part in curves if part],
        "gate": {
            "score": "max_logit",
            "threshold": 1.5,
            "kept": 0.95,
            "validation_images": 30,
            "candidates": [{"score": "max_logit", "auroc": 0.9}],
            "unlike": True,
            "cost": {"retained": few, "queried": few, "right": few},
            "sources": [
                {"name": "cow", "kind": "hidden class", "images": 12, "auroc": 0.8, "ci95": [0.6, 0.9]}
                | {"refused": some},
                {"name": "", "kind": "noise and shapes", "images": 12, "auroc": None, "ci95": None}
                | {"refused": counted(0, 0)},
            ],
        },
        "subgroups": {
            "minimum": 10,
            "unit": "images",
            "columns": [{"column": "sex", "values": [group("f", 12), group(None, None)], "suppressed": 1}],
            "smallest_query_recall": {"column": "sex", "value": "f", "recall": some},
            "smallest_retained_recall": None,
        },
        "in_use": {
            "version": "2",
            "weights_sha256": "e5" * 32,
            "classes": names[:-1],
            "lacks": names[-1:],
            "beyond": ["cow"],
            "images": len(truth),
            "per_class": dict.fromkeys(names, some),
            "query_recall": 0.75,
            "query_recall_ci95": some["ci95"],
            "retained_recall": 0.75,
            "retained_recall_ci95": some["ci95"],
            "false_alarms": few,
            "difference": {
                "query_recall": {"share": 0.125, "ci95": [-0.05, 0.3], "images": 30},
                "retained_recall": {"share": 0.0, "ci95": [-0.02, 0.02], "images": 120},
                "false_alarms": {"share": -0.0125, "ci95": [-0.03, 0.004], "images": 120},
            },
            "difference_by_class": {n: {"share": 0.125, "ci95": [-0.05, 0.3], "images": 30} for n in names},
        },
    }


def counted(count: int, images: int) -> dict[str, Any]:
    share = count / images if images else None
    return {"count": count, "images": images, "share": share, "ci95": proportion(count, images)}


def group(value: str | None, images: int | None) -> dict[str, Any]:
    """A group, all of whose figures are suppressed if it has no number of images."""
    told = ("query_recall", "retained_recall", "retained_recall_before", "false_alarms")
    figures = dict.fromkeys(told, counted(9, images) if images else None)
    return {"value": value, "images": images, "patients": None, **figures}


def identity() -> dict[str, Any]:
    return {
        "report_id": "1A2B-3C4D-5E6F",
        "created": "2026-11-26T09:30:00+00:00",
        "run_id": "f" * 32,
        "model_version": "3",
        "weights_sha256": "a1" * 32,
        "data_sha256": "b2" * 32,
        "test_sha256": "c3" * 32,
        "rule_sha256": "d4" * 32,
        "commit": "0123456789abcdef",
    }


def said(truth: Any, called: Any, classes: int, sure: float) -> Any:
    """Probabilities of a model that calls images so; the less sure, the later an image stands."""
    chosen = np.linspace(sure, 0.8, len(truth))[:, None]
    rest = (1 - chosen) / (classes - 1)
    return np.where(np.eye(classes, dtype=bool)[called], chosen, rest)


def teacher(site: str, shared: str, query: tuple[str, ...], few: bool) -> dict[str, Any]:
    """One that knows the first class and the queried ones."""
    classes = [shared, *query]
    return {
        "site": site,
        "classes": classes,
        "alignment": [{"class": c, "as": c, "how": "name"} for c in classes],
        "adapted": [],
        "mask": dict.fromkeys(classes, 0.98),
        "known": classes,
        "recall": {query[0]: 0.97} if site == "hospital_2" else {},
        "relevant": True,
        "participant": True,
        "signature": "trusted",
        "weights_sha256": "0" * 64,
        "bytes": 6000,
        "agreement": {"images": 40, "share": 0.925} if few else None,
    }


def answer(site: str, query: tuple[str, ...]) -> dict[str, Any]:
    """Statistics of the queried classes; the last site's lie far off."""
    off = site == "hospital_4"
    row = {
        "declined": None,
        "kind": "private_mean",
        "count": 94.0,
        "epsilon": 1.0,
        "delta": 1e-5,
        "limit": 1.8,
    }
    row |= {"unit": "image" if off else "patient", "distance": 2.5 if off else 0.4, "far_off": off}
    return {
        "site": site,
        "signature": "trusted",
        "classes": [{"class": c, **row} for c in query],
        "bytes": 3000,
    }


kept = cache(made)


@pytest.fixture(name="made")
def make() -> Callable[..., Summary]:
    """A copy that a test may change: making one takes longer."""
    return lambda **given: kept(**given).model_copy(deep=True)


@pytest.fixture(autouse=True)
def _drawn(real_figures: None) -> None:
    """Here the report is looked at."""
