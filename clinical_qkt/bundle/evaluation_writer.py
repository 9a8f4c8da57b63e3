"""What ``evaluate`` writes: ``evaluation.json``, and the same figures into MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ignite.engine import Engine, Events

from clinical_qkt.core.files import fingerprint, sha256, write_json
from clinical_qkt.core.version import __version__
from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.packages.model import Model
from clinical_qkt.review import report
from clinical_qkt.review.evaluation_file import SCHEMA, EvaluatedModel, EvaluationFile
from clinical_qkt.review.tracking.tracker import Tracker
from clinical_qkt.site.config import Site


class EvaluationWriter:
    """Handler of the bundle's ``evaluate``: ``evaluation.json`` and an MLflow run with the same figures."""

    def __init__(
        self, path: Path, site: Site, task: str, model: Model, told: Callable[[], None] | None = None
    ) -> None:
        self.path, self.site, self.task, self.model, self.told = path, site, task, model, told

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        found = self._file(engine.state.metrics["per_class"])
        write_json(self.path, found.as_json())
        self._log(found)
        report.print_per_class(found.per_class, f"{self.site.site}: test images")
        if self.told:
            self.told()

    def _file(self, rows: Mapping[str, Row]) -> EvaluationFile:
        names = self.model.card.labels.names
        return EvaluationFile(
            schema_=SCHEMA,
            command="evaluate",
            version=__version__,
            site=self.site.site,
            model=EvaluatedModel(weights_sha256=self.model.card.weights_sha256, classes=names),
            per_class={name: rows[name] for name in names},
            recall=metrics.macro_recall(rows, names),
        )

    def _log(self, found: EvaluationFile) -> None:
        recalls = {f"recall/{name}": row.recall for name, row in found.per_class.items()}
        digests = {"weights_sha256": found.model.weights_sha256, "data_sha256": sha256(self.site.data)}
        tracker = Tracker.of(self.site, self.task)
        name, work = f"evaluate {self.site.site}", fingerprint(*digests.values())
        with tracker.run(name, {"site": self.site.site}, place=self.path, work=work) as run:
            tracker.params(run, digests)
            tracker.log(run, {"recall": found.recall, **recalls})
        tracker.deliver()
