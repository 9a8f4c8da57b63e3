"""What ``evaluate`` writes: ``evaluation.json``, and the same figures into MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ignite.engine import Engine, Events

from clinical_qkt.core.files import fingerprint, sha256, write_json
from clinical_qkt.core.version import __version__
from clinical_qkt.evidence import metrics
from clinical_qkt.packages.model import Model
from clinical_qkt.review import report
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
        rows = engine.state.metrics["per_class"]
        names = self.model.card.labels.names
        overall = metrics.macro_recall(rows, names)
        content = {
            "schema": "clinical-qkt/evaluation/1",
            "command": "evaluate",
            "version": __version__,
            "site": self.site.site,
            "model": {"weights_sha256": self.model.card.weights_sha256, "classes": names},
            "per_class": {name: rows[name] for name in names},
            "recall": overall,
        }
        write_json(self.path, content)
        recalls = {"recall": overall, **{f"recall/{n}": rows[n]["recall"] for n in names}}
        tracker = Tracker.of(self.site, self.task)
        weights = self.model.card.weights_sha256
        name, place, work = (
            f"evaluate {self.site.site}",
            self.path,
            fingerprint(weights, sha256(self.site.data)),
        )
        with tracker.run(name, {"site": self.site.site}, place=place, work=work) as run:
            tracker.params(run, {"weights_sha256": weights, "data_sha256": sha256(self.site.data)})
            tracker.log(run, recalls)
        tracker.deliver()
        report.print_per_class(rows, f"{self.site.site}: test images")
        if self.told:
            self.told()
