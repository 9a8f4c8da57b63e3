"""What leaves a site, attacked: packages, students before and after a transfer, knowledge masks.

    python -m clinical_qkt.research.benchmark.privacy.run configs/benchmarks/privacy.yaml --data FILE
        [--out DIR]

Beside each attack's figures stands the query recall that a protection costs. A run that was cut off goes on
where it stopped: models, records of attacks and rows of recall are files, named after what decides them.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from clinical_qkt.core.errors import QueryError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import fingerprint, require_writable, write_json, write_text
from clinical_qkt.core.runtime import device_here
from clinical_qkt.core.version import __version__
from clinical_qkt.data.phantoms import phantom_source
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.research.benchmark.compare import mask_scores, score
from clinical_qkt.research.benchmark.privacy import tables
from clinical_qkt.research.benchmark.privacy.attacks import (
    BEFORE,
    Record,
    attack_package,
    attack_student,
    kept,
)
from clinical_qkt.research.benchmark.privacy.config import Part, PrivacyConfig, read_privacy_config
from clinical_qkt.research.benchmark.privacy.curves import write_curves
from clinical_qkt.research.benchmark.privacy.masks import mask_rows
from clinical_qkt.research.benchmark.privacy.responses import attack_responses, attack_student_of_responses
from clinical_qkt.research.benchmark.privacy.sites import AttackedFederation
from clinical_qkt.research.benchmark.privacy.tables import ATTACKS
from clinical_qkt.research.benchmark.site_images import prepare
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.partitions import Ask

Attempt = tuple[str, Ask, tuple[Any, ...], Callable[[], list[Record]]]
"""What is attacked, in which query, what else decides the outcome, and the attack."""

FIGURES = (
    "query_recall_at_budget",
    "forgetting_at_budget",
    "forgetting_worst_at_budget",
    "query_recall",
    "forgetting_mean",
)


class Run:
    """A run of the benchmark, or its continuation, in one folder."""

    def __init__(self, config: PrivacyConfig, out: Path, console: Console) -> None:
        require_writable(out, where="--out")
        self.config, self.out, self.console = config, out, console
        self.whole: Source = phantom_source(seed=0) if config.data is None else open_source(config.data, 0)
        self.prepared = prepare(self.whole)
        self.device = device_here()

    def everything(self) -> dict[str, Any]:
        """All attacks, recalls and masks; writes JSON, Markdown and figures named after the config."""
        records: dict[str, list[Record]] = {}
        recalls: dict[str, list[dict[str, Any]]] = {}
        masks: dict[str, list[dict[str, Any]]] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            total = sum(self._steps(part) for part in self.config.parts) * len(self.config.seeds)
            task = bar.add_task("attacking", total=total)
            for part in self.config.parts:
                name = part.scenario.name
                for seed in self.config.seeds:
                    federation = self.federation(part, seed)
                    for what, found in self._attacks(part, federation):
                        bar.update(task, advance=1, description=f"{name}, seed {seed}: {what}")
                        records.setdefault(name, []).extend(found)
                    recalls.setdefault(name, []).extend(self._recalls(part, federation))
                    if self.config.masks:
                        masks.setdefault(name, []).extend(mask_scores(federation))
        content = {
            "name": self.config.name,
            "data": self.whole.name,
            "generated": self.whole.generated,
            "attacks": tables.attack_rows(self.config, records),
            "promises": tables.promise_rows(self.config),
            "recalls": recalls,
            "masks": mask_rows(self.config, masks) if self.config.masks else [],
            "environment": {
                "clinical_qkt": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "device": self.device.type,
            },
            "config": self.config.model_dump(mode="json", exclude={"data"}),
        }
        name = self.config.name
        write_json(self.out / f"{name}.json", content)
        write_text(self.out / f"{name}.md", tables.tables(content))
        write_curves(self.config, records, self.out / f"{name}.png")
        return content

    def federation(self, part: Part, seed: int) -> AttackedFederation:
        """A part's sites."""
        folder = self.out / "sites" / part.scenario.name
        return AttackedFederation(
            self.whole, self.prepared, part.scenario, seed, self.device, folder, part.shadow_models
        )

    def _steps(self, part: Part) -> int:
        packages = part.packages if part.packages is not None else part.scenario.sites
        by_responses = [t for t in part.transfers if self.config.by_responses(part, t)]
        others = 1 + len(part.transfers) - len(by_responses)
        each = len(by_responses) + len(part.responses)
        return packages + part.attacked_queries * others + part.queries * each

    def _attacks(self, part: Part, federation: AttackedFederation) -> Iterator[tuple[str, list[Record]]]:
        facts = (part.scenario.model_dump(), part.shadow_models, federation.seed, self.whole.name, ATTACKS)
        place = self.out / "records" / part.scenario.name
        for site in range(len(federation.names))[: part.packages]:
            name = federation.names[site]
            file = place / f"{name}-{fingerprint(*facts)}.npz"
            yield f"package of {name}", kept(file, lambda: attack_package(federation, site))  # noqa: B023
        for what, ask, how, make in (*self._students(part, federation), *self._answers(part, federation)):
            mark = fingerprint(*facts, ask.student, ask.classes, *how)
            yield f"{federation.names[ask.student]}, {what}", kept(place / f"{what}-{mark}.npz", make)

    def _students(self, part: Part, federation: AttackedFederation) -> Iterator[Attempt]:
        """Those of teachers, then those of answers, which take no training of shadow models."""
        comparison, shadowed = self.config.comparison(part), part.shadow_students
        by_responses = [t for t in part.transfers if self.config.by_responses(part, t)]
        for ask in federation.queries(part.attacked_queries) if part.attacked_queries else []:
            for transfer in (BEFORE, *(t for t in part.transfers if t not in by_responses)):
                settings = None if transfer == BEFORE else self.config.methods[transfer]
                make = partial(attack_student, federation, ask, comparison, transfer, shadowed)
                yield transfer, ask, (settings, shadowed), make
        for ask in federation.queries(part.queries) if by_responses else []:
            for transfer in by_responses:
                shadows = part.shadow_responses
                make = partial(attack_student_of_responses, federation, ask, comparison, transfer, shadows)
                yield transfer, ask, (self.config.methods[transfer], shadows), make

    def _answers(self, part: Part, federation: AttackedFederation) -> Iterator[Attempt]:
        comparison = self.config.comparison(part)
        for ask in federation.queries(part.queries) if part.responses else []:
            for method in part.responses:
                make = partial(attack_responses, federation, ask, comparison, method, part.draws)
                yield f"answers ({method})", ask, (self.config.methods[method], part.draws), make

    def _recalls(self, part: Part, federation: AttackedFederation) -> list[dict[str, Any]]:
        rows = []
        for ask in federation.queries(part.queries) if part.queries and part.transfers else []:
            for transfer in part.transfers:
                mark = fingerprint(
                    part.scenario.model_dump(),
                    federation.seed,
                    self.whole.name,
                    ask.student,
                    ask.classes,
                    self.config.methods[transfer],
                    self.config.forgetting_budget,
                )
                file = self.out / "recalls" / part.scenario.name / f"{transfer}-{mark}.json"
                if not file.is_file():
                    write_json(file, self._recall(part, federation, ask, transfer))
                rows.append(json.loads(file.read_text(encoding="utf-8")))
        return rows

    def _recall(self, part: Part, federation: AttackedFederation, ask: Ask, transfer: str) -> dict[str, Any]:
        """One query's recall and forgetting, scored as in ``compare``."""
        case, test = federation.case(ask), federation.test_items(ask)
        comparison = self.config.comparison(part)
        name, settings = comparison.settings(transfer)
        row: dict[str, Any] = {
            "seed": federation.seed,
            "student": federation.names[ask.student],
            "query": [case.labels[q].name for q in case.query],
            "transfer": transfer,
        }
        own = METHODS["local"].run(case, METHODS["local"].settings())
        try:
            outcome = METHODS[name].run(case, settings)
        except QueryError as e:  # no mask covers the class: nobody was seen to know it
            return {**row, **dict.fromkeys(FIGURES), "refused": e.problem}
        logits = {
            "validation": outcome.predict(case.validation),
            "test": outcome.predict(test),
            "own_validation": own.predict(case.validation),
            "own_test": own.predict(test),
        }
        scored = score(case, logits, test, comparison.promise, outcome.cross_fitted, outcome.compared)
        return {**row, **{figure: scored[figure] for figure in FIGURES}}


def main(
    config: Annotated[Path, typer.Argument(help="Such as configs/benchmarks/privacy.yaml.")],
    data: Annotated[Path | None, typer.Option(help="As for `clinical-qkt benchmark`.")] = None,
    out: Annotated[Path, typer.Option()] = Path("runs/privacy"),
) -> None:
    """Attack what leaves a site, and print what was found."""
    console = Console()
    content = Run(read_privacy_config(config, data), out, console).everything()
    console.print(tables.tables(content), soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
