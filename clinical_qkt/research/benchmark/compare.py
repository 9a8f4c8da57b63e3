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
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clinical_qkt.core.errors import InputError, OutputError, QueryError
from clinical_qkt.core.files import fingerprint, require_writable, write_json
from clinical_qkt.core.runtime import device_here
from clinical_qkt.core.version import __version__
from clinical_qkt.data.phantoms import phantom_source
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.research.benchmark import results
from clinical_qkt.research.benchmark.config import BenchmarkConfig, Scenario
from clinical_qkt.research.benchmark.federation import Federation
from clinical_qkt.research.benchmark.looks_figure import draw_looks
from clinical_qkt.research.benchmark.real_sites import two_sites
from clinical_qkt.research.benchmark.rows import MEASURED
from clinical_qkt.research.benchmark.scoring import score
from clinical_qkt.research.benchmark.sub_types import read_sub_types
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.partitions import Ask


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
                federation = _federation(config, scenario, seed, out / "sites")
                if seed == config.seeds[0] and (scenario.shift != "none" or scenario.other_site):
                    draw_looks(federation, out / "figures" / f"{scenario.name}-looks.png")
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
        **circumstances(config),
    }
    write_json(out / "results.json", content)
    results.write(content, out)
    return content


def circumstances(config: BenchmarkConfig) -> dict[str, Any]:
    """What stands beside a comparison's rows: versions, the config, the methods' settings in full."""
    return {
        "environment": {
            "clinical_qkt": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": device_here().type,
        },
        "config": config.model_dump(mode="json", exclude={"data"}),
        "settings": {m: config.settings(m)[1].model_dump(mode="json") for m in config.methods},
    }


def mask_scores(federation: Federation) -> list[dict[str, Any]]:
    """Each model's probe score for each class, and whether it was really trained on it."""
    found = []
    for site, teacher in enumerate(federation.probed):
        own = federation.label_lists.own(site)
        truth = [own.find(label, parts=False) is not None for label in teacher.model.card.labels]
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
        file = place / row_name(config, scenario, seed, label)
        if not file.is_file():
            if not shared:
                shared = _shared(config, federation, ask)
            write_json(file, _row(config, federation, shared, ask, label))
        try:
            rows.append(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise OutputError("is damaged", where=str(file), fix="delete the file and start again") from None
    return rows


def row_name(config: BenchmarkConfig, scenario: Scenario, seed: int, label: str) -> str:
    """The file of a method's row, named after what decides it."""
    name, settings = config.settings(label)
    budget = (config.forgetting_budget, config.confidence, config.worst_factor)
    mark = fingerprint(name, settings.model_dump(), scenario.model_dump(), seed, budget, MEASURED)
    return f"{label}-{mark}.json"


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
        return {**head, **dict.fromkeys(MEASURED), "refused": str(e)}
    seconds = time.perf_counter() - start
    logits = {
        "validation": outcome.predict(case.validation),
        "test": outcome.predict(test),
        **shared["own"],
    }
    return {
        **head,
        **score(case, logits, test, config.promise, outcome.cross_fitted, outcome.compared),
        "teachers_used": outcome.teachers_used,
        "bytes_received": outcome.bytes_received,
        **({"looks": outcome.looks} if outcome.looks else {}),
        "seconds": round(seconds + outcome.seconds, 2),
    }


def _federation(config: BenchmarkConfig, scenario: Scenario, seed: int, folder: Path) -> Federation:
    source, of_site = _source(config, scenario, seed)
    sub_types = None
    if scenario.label_lists == "finer" and config.data is not None:
        sub_types = read_sub_types(config.data, source)
    return Federation(source, scenario, seed, device_here(), folder, of_site, sub_types)


def _source(
    config: BenchmarkConfig, scenario: Scenario, seed: int
) -> tuple[Source, NDArray[np.int64] | None]:
    """The images, and where each comes from if not from one place."""
    most = scenario.max_per_class
    if config.data is None and scenario.other_site:
        raise InputError(
            "there are no pictures of the first site",
            where=f"scenario '{scenario.name}': other_site",
            fix="give their folder with --data",
        )
    if config.data is None:
        return phantom_source(seed=seed).limited(most, seed), None
    if scenario.other_site is None:
        return open_source(config.data, 0).limited(most, seed), None
    return two_sites(config.data, scenario.other_site, most, seed)
