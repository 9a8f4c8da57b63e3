"""What a published knowledge mask tells of the classes that a site trained on."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from clinical_qkt.qkt.knowledge_masks import THRESHOLD, randomised
from clinical_qkt.research.benchmark.privacy.config import PrivacyConfig

MEASURES = ("precision", "recall", "accuracy", "f1")
DRAWS = 1000


def mask_rows(config: PrivacyConfig, masks: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """For each scenario the masks as found, then as told by randomised response.

    Each measure is a mean with its 95 % range: over resampled models for the masks as found, over draws of
    all models' masks for those told at random.

    Args:
        masks: by scenario, of each model ``{"scores": [..], "truth": [..]}`` over the classes of its head.
    """
    rows = []
    for part in config.parts:
        models = masks[part.scenario.name]
        known = [[s >= THRESHOLD for s in m["scores"]] for m in models]
        truth = [m["truth"] for m in models]
        about = {
            "scenario": part.scenario.name,
            "title": part.title,
            "models": len(models),
            "classes": sum(map(len, truth)),
        }
        rng = np.random.default_rng(0)
        chosen = [rng.integers(len(models), size=len(models)) for _ in range(DRAWS)]
        drawn = [_measured([known[i] for i in c], [truth[i] for i in c]) for c in chosen]
        rows.append({**about, "epsilon": None, **_ranges(drawn, _measured(known, truth))})
        for epsilon in config.randomised_response:
            source = random.Random(0)
            drawn = [
                _measured([randomised(mine, epsilon, source.random) for mine in known], truth)
                for _ in range(DRAWS)
            ]
            rows.append({**about, "epsilon": epsilon, **_ranges(drawn)})
    return rows


def _measured(told: list[list[bool]], truth: list[list[bool]]) -> list[float]:
    """``MEASURES`` of all decisions together; a share of nothing is 0."""
    said, true = np.concatenate(told), np.concatenate(truth)
    hits, named, there = int((said & true).sum()), int(said.sum()), int(true.sum())
    return [
        hits / named if named else 0.0,
        hits / there if there else 0.0,
        float((said == true).mean()),
        2 * hits / (named + there) if named + there else 0.0,
    ]


def _ranges(drawn: list[list[float]], mean: list[float] | None = None) -> dict[str, list[float]]:
    """``{measure: [mean, low, high]}``."""
    table = np.array(drawn)
    centre = table.mean(0) if mean is None else np.array(mean)
    low, high = np.quantile(table, [0.025, 0.975], axis=0)
    return {m: [float(centre[i]), float(low[i]), float(high[i])] for i, m in enumerate(MEASURES)}
