"""Summaries with chosen figures, made by the code that makes real ones: no model, no image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clinical_qkt import metrics
from clinical_qkt.acceptance import Acceptance, decision
from clinical_qkt.labels import LabelSpace
from clinical_qkt.summary import SCHEMA, evaluation

Summary = dict[str, Any]


def made(
    known: tuple[str, ...] = ("ape", "bee", "cat"),
    query: tuple[str, ...] = ("dog",),
    images: int = 40,
    queried_images: int = 30,
    wrong: int = 3,
    budget: float = 5,
    answers: bool = False,
    **rule: float,
) -> Summary:
    """A finished transfer's summary.

    Args:
        images: test images of each known class.
        queried_images: and of each queried one.
        wrong: how many images of each class the new model calls the next class.
        rule: see ``Acceptance``.
    """
    names = [*known, *query]
    labels = LabelSpace(names)
    columns = list(range(len(known), len(names)))
    truth = np.repeat(np.arange(len(names)), [images] * len(known) + [queried_images] * len(query))
    before = said(truth, truth % len(known), len(names), 0.99)
    called = truth.copy()
    for c in range(len(names)):
        called[np.flatnonzero(truth == c)[:wrong]] = (c + 1) % len(names)
    after = said(truth, called, len(names), 0.97)
    parts = {k: evaluation(p, truth, labels, columns) for k, p in (("before", before), ("after", after))}
    lost = metrics.forgetting(parts["before"]["per_class"], parts["after"]["per_class"], known)
    few = any(queried_images < metrics.FEW for _ in query)
    return {
        "schema": SCHEMA,
        "command": "transfer",
        "version": "0.0.0",
        "seed": 1,
        "device": "cpu",
        "data": {
            "name": "animals",
            "generated": True,
            "sha256": "0" * 64,
            "skipped": 0,
            "skipped_because": {},
        },
        "student": {
            "site": "hospital_1",
            "classes": list(known),
            "query": list(query),
            "images": {"training": 90, "validation": 30, "test": len(truth)},
        },
        "teachers": [] if answers else [teacher(f"hospital_{i}", known[0], query, few) for i in (2, 3)],
        "answers": [answer(f"hospital_{i}", query) for i in (2, 3, 4)] if answers else [],
        "method": {
            "variant": "statistics" if answers else "committee",
            "start_from": "committee",
            "started_from": "hospital_1",
            "head": "linear",
            "max_epochs": 0,
            "refine_epochs": 0,
            "fit": {"val_points_spent": 0.4, "val_points_worst": 1.0, "val_within_budget": True},
        },
        **parts,
        "forgetting": lost,
        **decision(parts["after"], lost, budget, Acceptance(**rule)),
        "untrusted_packages": [],
        "bytes_received": 12_345,
        "seconds": {},
    }


def said(truth: Any, called: Any, classes: int, sure: float) -> Any:
    """Probabilities of a model that calls images so; the less sure, the later an image stands."""
    chosen = np.linspace(sure, 0.8, len(truth))[:, None]
    rest = (1 - chosen) / (classes - 1)
    return np.where(np.eye(classes, dtype=bool)[called], chosen, rest)


def teacher(site: str, shared: str, query: tuple[str, ...], few: bool) -> Summary:
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
        "asked": True,
        "signature": "trusted",
        "weights_sha256": "0" * 64,
        "bytes": 6000,
        "agreement": {"images": 40, "share": 0.925} if few else None,
    }


def answer(site: str, query: tuple[str, ...]) -> Summary:
    """Statistics of the queried classes; the last site's lie far off."""
    row = {"declined": None, "kind": "private_mean", "count": 94, "epsilon": 1.0, "limit": 1.8}
    off = site == "hospital_4"
    return {
        "site": site,
        "signature": "trusted",
        "classes": [{"class": c, **row, "distance": 2.5 if off else 0.4, "far_off": off} for c in query],
        "bytes": 3000,
    }


@pytest.fixture(name="made")
def make() -> Callable[..., Summary]:
    return made
