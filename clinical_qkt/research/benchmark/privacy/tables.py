"""The privacy benchmark's results as rows and Markdown tables."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from clinical_qkt.audit import inclusion, membership
from clinical_qkt.privacy.mechanisms import Guarantee
from clinical_qkt.research.benchmark.main_job import interval
from clinical_qkt.research.benchmark.privacy.attacks import Record
from clinical_qkt.research.benchmark.privacy.config import PrivacyConfig
from clinical_qkt.research.benchmark.rows import in_points

ATTACK_COLUMNS = (
    "attacked",
    "attack",
    "images",
    "models",
    "members + others",
    "AUC",
    "TPR at 1 % FPR",
    "TPR at 0.1 % FPR",
)
MODELS = 4
"""Fewer say nothing about how models differ."""

SETS = {"all_classes": "all", "rarest_class": "rarest or queried"}
ATTACKS = {
    "likelihood_ratio": "likelihood ratio",
    "pairwise_ratio": "pairwise ratio",
    "loss_threshold": "loss threshold",
    "inclusion_ratio": "inclusion ratio",
    "others_known": "all others known",
}
"""On models, then on answers; the strongest first, as a rule."""


def attack_rows(config: PrivacyConfig, records: dict[str, list[Record]]) -> list[dict[str, Any]]:
    """For each scenario, attacked thing, attack and set of images one row over all its models.

    The area is a mean over models with its 95 % bootstrap interval, see ``_auc``; the rates are those of all
    models' scores together, with Clopper and Pearson's intervals, so that others are not too few.
    """
    rows = []
    for part in config.parts:
        mine = records[part.scenario.name]
        things = list(dict.fromkeys(r.of for r in mine))
        for of, attack, images in product(things, ATTACKS, SETS):
            those = [r for r in mine if r.of == of and r.attack == attack]
            if images == "rarest_class":
                those = [only_rare(r) for r in those if r.rare.any()]
            if those:
                about = {"scenario": part.scenario.name, "title": part.title}
                rows.append({**about, "of": of, "attack": attack, "images": images, **_figures(those)})
    return rows


def promise_rows(config: PrivacyConfig) -> list[dict[str, Any]]:
    """What a private response allows at the most, whoever attacks it: one row a scenario and method."""
    rows = []
    for part in config.parts:
        for method in part.responses:
            settings = config.settings(part, method)
            if settings.kind == "private_mean":
                guarantee = Guarantee(settings.epsilon, settings.delta)
                about = {"scenario": part.scenario.name, "of": f"answers ({method})"}
                rows.append({**about, **_promise(guarantee)})
    return rows


def tables(content: dict[str, Any]) -> str:
    """Everything as Markdown."""
    lines = [
        f"Data: {content['data']}{', generated' if content['generated'] else ''}. AUC: mean over the "
        f"attacked models with 95 % bootstrap interval over them (fewer than {MODELS}: over images); TPR: "
        "percent of the members, all models' scores together, with Clopper and Pearson's 95 % interval; "
        "FPR: share of the others accused.",
    ]
    for scenario in dict.fromkeys(r["scenario"] for r in content["attacks"]):
        mine = [r for r in content["attacks"] if r["scenario"] == scenario]
        lines += [
            "",
            f"## Membership: {mine[0]['title']}",
            "",
            f"| {' | '.join(ATTACK_COLUMNS)} |",
            "| --- " * len(ATTACK_COLUMNS) + "|",
            *map(_attack_line, mine),
        ]
        promises = [r for r in content.get("promises", []) if r["scenario"] == scenario]
        if promises:
            lines += [
                "",
                "| promised | epsilon | delta | AUC at most | TPR at 1 % FPR at most | at 0.1 % at most |",
                "| --- " * 6 + "|",
                *map(_promise_line, promises),
            ]
        recalls = content["recalls"].get(scenario, [])
        if recalls:
            lines += [
                "",
                "| transfer | queries | query recall at budget | forgotten at budget |",
                "| --- " * 4 + "|",
                *_recall_lines(recalls),
            ]
    if content["masks"]:
        lines += [
            "",
            "## Knowledge masks",
            "",
            "| sites' training | mask | models | class decisions | precision | recall | accuracy | F1 |",
            "| --- " * 8 + "|",
            *map(_mask_line, content["masks"]),
        ]
    return "\n".join(lines) + "\n"


def _promise(guarantee: Guarantee) -> dict[str, float]:
    return {
        "epsilon": guarantee.epsilon,
        "delta": guarantee.delta,
        "auc": inclusion.auc_at_most(guarantee),
        "tpr_at_1_percent": inclusion.at_most(guarantee, 0.01),
        "tpr_at_01_percent": inclusion.at_most(guarantee, 0.001),
    }


def _figures(records: list[Record]) -> dict[str, Any]:
    scores, members = together(records)
    row: dict[str, Any] = {
        "models": len(records),
        "members": int(members.sum()),
        "others": int((~members).sum()),
        "auc": _auc(records),
    }
    for key, alarms in (("tpr_at_1_percent", 0.01), ("tpr_at_01_percent", 0.001)):
        rate = membership.tpr_at(scores, members, alarms)
        low, high = membership.tpr_interval(scores, members, alarms)
        row[key] = None if rate is None else {"rate": rate, "low": low, "high": high}
    return row


def _auc(records: list[Record]) -> dict[str, float]:
    """The mean with its interval over models; of fewer than ``MODELS`` over their images."""
    areas = [membership.auc(r.scores, r.members) for r in records]
    if len(records) >= MODELS:
        return interval(areas)
    low, high = membership.auc_interval([(r.scores, r.members) for r in records])
    return {"mean": float(np.mean(areas)), "low": low, "high": high}


def together(records: list[Record]) -> tuple[membership.Floats, membership.Bools]:
    return np.concatenate([r.scores for r in records]), np.concatenate([r.members for r in records])


def only_rare(record: Record) -> Record:
    """The record of the rare class alone."""
    keep = record.rare
    return Record(
        record.of, record.target, record.attack, record.scores[keep], record.members[keep], keep[keep]
    )


def _attack_line(row: dict[str, Any]) -> str:
    auc = row["auc"]
    cells = [
        row["of"],
        ATTACKS[row["attack"]],
        SETS[row["images"]],
        str(row["models"]),
        f"{row['members']:,} + {row['others']:,}",
        f"{auc['mean']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})",
        *(_rate(row[k]) for k in ("tpr_at_1_percent", "tpr_at_01_percent")),
    ]
    return "| " + " | ".join(cells) + " |"


def _promise_line(row: dict[str, Any]) -> str:
    rates = [f"{100 * row[k]:.2f}" for k in ("tpr_at_1_percent", "tpr_at_01_percent")]
    cells = [row["of"], f"{row['epsilon']:g}", f"{row['delta']:g}", f"{row['auc']:.3f}", *rates]
    return "| " + " | ".join(cells) + " |"


def _rate(found: dict[str, float] | None) -> str:
    if found is None:
        return "too few others"
    return f"{100 * found['rate']:.2f} ({100 * found['low']:.2f} to {100 * found['high']:.2f})"


def _recall_lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for transfer in dict.fromkeys(r["transfer"] for r in rows):
        mine = [r for r in rows if r["transfer"] == transfer]
        done = [r for r in mine if r["query_recall_at_budget"] is not None]
        cells = ["refused"] * 2
        if done:
            keys = ("query_recall_at_budget", "forgetting_at_budget")
            cells = [in_points([100 * r[k] for r in done]) for k in keys]
        lines.append(f"| {transfer} | {len(done)} of {len(mine)} | " + " | ".join(cells) + " |")
    return lines


def _mask_line(row: dict[str, Any]) -> str:
    told = "as found" if row["epsilon"] is None else f"randomised, epsilon {row['epsilon']:g}"
    cells = ["{:.2f} ({:.2f} to {:.2f})".format(*row[m]) for m in ("precision", "recall", "accuracy", "f1")]
    return f"| {row['title']} | {told} | {row['models']} | {row['classes']} | " + " | ".join(cells) + " |"
