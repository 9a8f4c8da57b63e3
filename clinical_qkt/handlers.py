"""Small ignite handlers: repeatable epochs, and epochs in MLflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from mlflow.entities import Run
from monai.data.utils import set_rnd
from monai.handlers import CheckpointLoader
from monai.utils import set_determinism

from clinical_qkt import __version__, metrics, report
from clinical_qkt.budget import retained_recall
from clinical_qkt.errors import InputError, explained
from clinical_qkt.files import fingerprint, private_folder, sha256, write_json
from clinical_qkt.packages.store import Model
from clinical_qkt.sites import Site
from clinical_qkt.targets import Images, answer, labels_of
from clinical_qkt.tracking import Tracker


class SeedEachEpoch:
    """Seed everything anew at the start of each epoch.

    Shuffling and augmentation of epoch n then depend on the seed and n alone, so that a run continued from a
    checkpoint ends with the same figures as one that was never cut off.

    Args:
        seed: of the run.
        dataset: whose random transforms are to be seeded too.
    """

    def __init__(self, seed: int, dataset: Any) -> None:
        self.seed, self.dataset = seed, dataset

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = (self.seed * 1_000_003 + engine.state.epoch) % 2**31
        set_determinism(seed)
        set_rnd(self.dataset, seed)


class Progress:
    """Tell a loss how far the training is: its ``progress`` grows with the epochs from above 0.3 to 1.

    Linear, the plain form of TAID's schedule (Shing et al., arXiv 2501.16937).
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.loss.progress = min(1.0, 0.3 + 0.7 * engine.state.epoch / (engine.state.max_epochs or 1))


class FiniteLoss:
    """Stop a training whose loss is no number: its weights could not be used."""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """
        Raises:
            InputError: the loss is NaN or infinite.
        """
        output: Any = engine.state.output
        if not math.isfinite(float(output["loss"])):
            raise InputError(
                f"the loss became {float(output['loss'])} in epoch {engine.state.epoch}; nothing was written",
                where="training",
                fix="set a smaller 'learning_rate'; if that is no help, look for images of odd intensities",
            )


class TrackTraining:
    """A training run in MLflow: opened at the start, one batch of metrics an epoch, closed in any case.

    Args:
        site, task: see ``tracking.Tracker``.
        name: of the run.
        device: on which it is trained.
        params: of the training, as they are logged.
        metrics: called with the trainer after each epoch, gives what is logged.
        work: names what decides the result.
    """

    def __init__(
        self,
        site: Site,
        task: str,
        name: str,
        device: torch.device,
        params: dict[str, Any],
        metrics: Callable[[Engine], dict[str, float]],
        work: str,
    ) -> None:
        self.site, self.task, self.name, self.device = site, task, name, device
        self.params, self.metrics, self.work = params, metrics, work
        self.tracker: Tracker | None = None
        self._open = ExitStack()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def start(self, engine: Engine) -> None:
        tracker = self.tracker = Tracker.of(self.site, self.task)
        tags, place = {"site": self.site.site}, self.site.output_dir / "model"
        run = tracker.run(self.name, tags, place=place, work=self.work)
        self.run = self._open.enter_context(run)
        digest = sha256(self.site.data)
        tracker.params(self.run, {**self.params, "seed": self.site.seed, "data_sha256": digest})
        tracker.dataset(self.run, self.site.site, digest, "training")
        tracker.software(self.run, self.device)

    def epoch(self, engine: Engine) -> None:
        assert self.tracker
        self.tracker.log(self.run, self.metrics(engine), step=engine.state.epoch)

    def finish(self, engine: Engine) -> None:
        assert self.tracker
        self._open.close()
        self.tracker.deliver()

    def fail(self, engine: Engine, error: BaseException) -> None:
        try:
            self._open.__exit__(type(error), error, error.__traceback__)
            if self.tracker:
                self.tracker.deliver()
        except Exception as e:  # a full disk stops the closing of the run, too; the first error is told
            if explained(e) is None:
                raise
        raise error


class Resume:
    """Save everything that training needs after each epoch, and go on from there after a crash.

    ignite's ``Checkpoint`` and MONAI's ``CheckpointLoader``, on one folder.

    Args:
        folder: for the checkpoint, named after what is trained on what, see ``files.fingerprint``.
        objects: with ``state_dict`` and ``load_state_dict``: network, optimizer, scheduler.
        device: where the tensors are loaded to.
    """

    def __init__(self, folder: str | Path, objects: dict[str, Any], device: torch.device) -> None:
        self.folder, self.objects, self.device = Path(folder), objects, device

    def attach(self, engine: Engine) -> None:
        everything = {**self.objects, "trainer": engine}
        earlier = sorted(self.folder.glob("*.pt"), key=lambda p: p.stat().st_mtime)
        if earlier:
            onto: Any = self.device  # torch.load takes a device, MONAI's annotation a mapping
            CheckpointLoader(str(earlier[-1]), everything, map_location=onto).attach(engine)
        # MONAI's CheckpointSaver does not write atomically: a kill could leave half a checkpoint.
        private_folder(self.folder)  # ignite lets everybody read what it writes
        disk = DiskSaver(str(self.folder), atomic=True, create_dir=True, require_empty=False)
        save = Checkpoint(everything, disk, n_saved=2, global_step_transform=lambda e, _: e.state.epoch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, save)


class ValidationCurves:
    """After each epoch of a transfer, on own validation images: what is kept, and what is called queried.

    Puts ``val/retained_recall``, ``val/false_alarms`` (the share called a queried class) and
    ``val/query_evidence`` (the mean probability that is given to the queried classes) into
    ``engine.state.metrics``.

    Args:
        validation: ``{"image", "label"}``, none of a queried class.
        local, query: the columns of the local and of the queried classes.
    """

    def __init__(
        self, validation: Images, local: Sequence[int], query: Sequence[int], device: torch.device
    ) -> None:
        self.validation, self.local, self.device = validation, list(local), device
        self.query = torch.tensor(list(query))
        self.labels = labels_of(validation)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        network: Any = engine.network  # type: ignore[attr-defined]
        logits = answer(network, self.validation, self.device)
        network.train()
        engine.state.metrics["val/retained_recall"] = retained_recall(logits, self.labels, self.local)
        engine.state.metrics["val/false_alarms"] = float(
            torch.isin(logits.argmax(1), self.query).float().mean()
        )
        engine.state.metrics["val/query_evidence"] = float(logits.softmax(1)[:, self.query].sum(1).mean())


class LogEpochs:
    """An engine's loss and metrics into a run that somebody else opened and closes, one batch an epoch."""

    def __init__(self, tracker: Tracker, run: Run) -> None:
        self.tracker, self.run = tracker, run

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        output: Any = engine.state.output
        curves = {"loss": float(output["loss"]), **engine.state.metrics}
        self.tracker.log(self.run, curves, step=engine.state.epoch)


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
