"""Methods against each other: scenarios x seeds x queries x methods, each row kept as soon as it is there.

A comparison that was cut off goes on where it stopped: rows and site models are files, named after what
decides them.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from clinical_qkt.core.errors import OutputError, QueryError
from clinical_qkt.core.files import fingerprint, require_writable, write_json
from clinical_qkt.core.runtime import device_here
from clinical_qkt.core.version import __version__
from clinical_qkt.data.phantoms import phantom_source
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.qkt.forgetting_budget import class_recalls, fit_to_budget
from clinical_qkt.research.benchmark import results
from clinical_qkt.research.benchmark.config import BenchmarkConfig, Scenario
from clinical_qkt.research.benchmark.federation import Federation
from clinical_qkt.research.benchmark.rows import FIGURES
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.methods.case import Case
from clinical_qkt.research.partitions import Ask
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import labels_of


def compare(config: BenchmarkConfig, out: Path, console: Console) -> dict[str, Any]:
    """Run what is not done yet; write ``results.json``, ``results.md`` and figures.

    Raises:
        QKTError: bad input; names the field.
    """
    require_writable(out, where="--out")
    rows: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []
    total = len(config.scenarios) * len(config.seeds) * config.queries * len(config.methods)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("comparing", total=total)
        for scenario in config.scenarios:
            for seed in config.seeds:
                federation = Federation(
                    _source(config, scenario, seed), scenario, seed, device_here(), out / "sites"
                )
                bar.update(task, description=f"{scenario.name}, seed {seed}: site models")
                masks += mask_scores(federation)
                asks = federation.queries(config.queries)
                for ask in asks:
                    for row in _rows(config, federation, ask, out):
                        rows.append(row)
                        bar.update(
                            task,
                            advance=1,
                            description=f"{scenario.name}, seed {seed}: {', '.join(row['query'])}",
                        )
                bar.advance(task, (config.queries - len(asks)) * len(config.methods))
    content = {
        "name": config.name,
        "data": federation.source.name,
        "generated": federation.source.generated,
        "rows": rows,
        "masks": results.pool_masks(masks, config.thresholds),
        "environment": {
            "clinical_qkt": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": device_here().type,
        },
        "config": config.model_dump(mode="json", exclude={"data"}),
        "settings": {m: config.settings(m)[1].model_dump(mode="json") for m in config.methods},
    }
    write_json(out / "results.json", content)
    results.write(content, out)
    return content


def score(
    case: Case, logits: dict[str, Tensor], test: list[dict[str, Any]], config: BenchmarkConfig
) -> dict[str, Any]:
    """A row's figures.

    Args:
        logits: of the method on ``validation`` and ``test``, of the own model on the same as
            ``own_validation`` and ``own_test``; columns as in ``case.labels``.
        test: the test images, ``{"image", "label"}``.
    """
    names, truth = case.labels.names, labels_of(test)
    retained = [names[c] for c in case.local]
    queried = [names[c] for c in case.query]
    before = _per_class(logits["own_test"], truth, names)
    labels = labels_of(case.validation)
    fit = fit_to_budget(
        logits["validation"],
        labels,
        case.query,
        class_recalls(logits["own_validation"], labels, case.local),
        config.forgetting_budget,
        config.reserve,
        config.worst_factor,
    )
    raised = logits["test"].clone()
    raised[:, case.query] += torch.tensor(fit.bias)
    after = _per_class(logits["test"], truth, names)
    fitted = _per_class(raised, truth, names)
    lost = metrics.forgetting(before, after, retained)
    lost_fitted = metrics.forgetting(before, fitted, retained)
    probabilities = SINGLE_LABEL.probabilities(raised)
    asked = [roc_auc_score(truth == q, probabilities[:, q]) for q in case.query]
    error = multiclass_calibration_error(probabilities, truth, num_classes=len(names), n_bins=15)
    return {
        "query_recall": metrics.macro_recall(after, queried),
        "false_alarms": _alarms(logits["test"], truth, case),
        "retained_recall": metrics.macro_recall(after, retained),
        "forgetting_mean": lost["mean"],
        "forgetting_worst": lost["worst"],
        "query_recall_at_budget": metrics.macro_recall(fitted, queried),
        "false_alarms_at_budget": _alarms(raised, truth, case),
        "forgetting_at_budget": lost_fitted["mean"],
        "forgetting_worst_at_budget": lost_fitted["worst"],
        "budget_kept": fit.kept,
        "auroc": float(np.mean(asked)),
        "ece": float(error),
    }


def _per_class(logits: Tensor, truth: Tensor, names: list[str]) -> dict[str, Row]:
    return metrics.per_class(SINGLE_LABEL.probabilities(logits).numpy(), truth.numpy(), names)


def _alarms(logits: Tensor, truth: Tensor, case: Case) -> float | None:
    """Of the test images of retained classes, the share that is called a queried one."""
    found = metrics.false_alarms(logits.numpy(), truth.numpy(), case.labels.names, case.query)
    return found.overall.share


def mask_scores(federation: Federation) -> list[dict[str, Any]]:
    """Each model's probe score for each class, and whether it was really trained on it."""
    found = []
    for teacher, mine in zip(federation.probed, federation.classes, strict=True):
        listed = [federation.source.classes.find(label) for label in teacher.model.card.labels]
        truth = [c in mine for c in listed]
        found.append({"scores": [round(float(s), 5) for s in teacher.scores], "truth": truth})
    return found


def _rows(config: BenchmarkConfig, federation: Federation, ask: Ask, out: Path) -> list[dict[str, Any]]:
    """One row a method; those that are there are read, the others made."""
    scenario, seed = federation.scenario, federation.seed
    queried = "+".join(str(c) for c in ask.classes)
    place = out / "rows" / scenario.name / f"seed_{seed}" / f"{federation.names[ask.student]}-{queried}"
    rows: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    for label in config.methods:
        name, settings = config.settings(label)
        budget = (config.forgetting_budget, config.reserve, config.worst_factor)
        mark = fingerprint(name, settings.model_dump(), scenario.model_dump(), seed, budget, FIGURES)
        file = place / f"{label}-{mark}.json"
        if not file.is_file():
            if not shared:
                shared = _shared(config, federation, ask)
            write_json(file, _row(config, federation, shared, ask, label))
        try:
            rows.append(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise OutputError("is damaged", where=str(file), fix="delete the file and start again") from None
    return rows


def _shared(config: BenchmarkConfig, federation: Federation, ask: Ask) -> dict[str, Any]:
    """What all methods of a query need: the case, the test images, the own model's logits on them."""
    case = replace(federation.case(ask), forgetting_budget=config.forgetting_budget)
    test = federation.test_items(ask)
    own = {
        key: METHODS["local"].run(case, METHODS["local"].settings()).predict(images)
        for key, images in (("own_validation", case.validation), ("own_test", test))
    }
    return {"case": case, "test": test, "own": own}


def _row(
    config: BenchmarkConfig, federation: Federation, shared: dict[str, Any], ask: Ask, label: str
) -> dict[str, Any]:
    case, test = shared["case"], shared["test"]
    name, settings = config.settings(label)
    head = {
        "scenario": federation.scenario.name,
        "seed": federation.seed,
        "student": federation.names[ask.student],
        "query": [case.labels[q].name for q in case.query],
        "method": name,
        "variant": label,
        "relevant": sum(bool(set(ask.classes) & set(c)) for c in federation.classes),
    }
    start = time.perf_counter()
    try:
        outcome = METHODS[name].run(case, settings)
    except QueryError as e:
        return {**head, **dict.fromkeys(FIGURES), "refused": str(e)}
    seconds = time.perf_counter() - start
    logits = {
        "validation": outcome.predict(case.validation),
        "test": outcome.predict(test),
        **shared["own"],
    }
    return {
        **head,
        **score(case, logits, test, config),
        "teachers_used": outcome.teachers_used,
        "bytes_received": outcome.bytes_received,
        "seconds": round(seconds + outcome.seconds, 2),
    }


def _source(config: BenchmarkConfig, scenario: Scenario, seed: int) -> Source:
    if config.data is None:
        return phantom_source(seed=seed).limited(scenario.max_per_class, seed)
    return open_source(config.data, 0).limited(scenario.max_per_class, seed)
