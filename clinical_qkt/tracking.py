"""What goes to MLflow, under which names.

One experiment a task; one run for each training, one parent run for each transfer with child runs for its
phases. A run is known by its place and by what decides its figures: cut off by a kill, it is taken up again
by the next start of the same stage, not left open and not doubled.

Everything is first written to a local database; where the site's YAML names a tracking server, ``sync`` sends
it there when a stage has ended.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LifecycleStage,
    LoggedModel,
    Metric,
    Param,
    Run,
    RunStatus,
)
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH

from clinical_qkt import sync
from clinical_qkt.errors import InputError, explained
from clinical_qkt.files import fingerprint

if TYPE_CHECKING:  # whoever only reads records need not wait for these
    import torch

    from clinical_qkt.sites import Site

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
PLACE, WORK = "clinical_qkt.place", "clinical_qkt.work"
"""Tags of a run: where its results go and what decides its figures, both as digests."""
STAGE, NAMED = "clinical_qkt.stage", "clinical_qkt.named"
"""Tags of a run: what it was begun as, by which it is found again; and the name that it was last given here,
so that a name that a person gave is known as such."""
_RUNNING, _FINISHED = RunStatus.to_string(RunStatus.RUNNING), RunStatus.to_string(RunStatus.FINISHED)
_BEFORE_CLASS = re.compile(
    r"(before|after)/(recall|recall_low|recall_high|precision|f1|auroc|false_alarms)/|(forgetting|recall)/"
)
"""What stands before a class in the name of a metric."""
_OVERALL = ("mean", "worst", "worst_high", "mean_loss", "mean_loss_high")
"""What stands below ``forgetting/`` and is no class."""
MOST_METRICS = 500
"""That are sent at once; MLflow takes 1,000."""
_FAILED, _KILLED = RunStatus.to_string(RunStatus.FAILED), RunStatus.to_string(RunStatus.KILLED)


class Tracker:
    """Runs of one experiment.

    Args:
        uri: an MLflow tracking URI. For ``sqlite:///FILE`` artifacts lie in ``mlartifacts`` beside the file.
        experiment: its name; the bundle's task.
        server: where ended runs are sent to by ``deliver``.

    Raises:
        InputError: the address cannot be used.
    """

    def __init__(self, uri: str, experiment: str, server: str | None = None) -> None:
        self.uri, self.experiment, self.server = uri, experiment, server
        try:
            sync.ensure_database(uri)
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            self.client = mlflow.MlflowClient(uri, uri)
            found = self.client.get_experiment_by_name(experiment)
            if found is None:
                place = sync.beside(uri)
                self.experiment_id = self.client.create_experiment(experiment, place, sync.EXPERIMENT)
            else:
                self.experiment_id = found.experiment_id
        except Exception as e:
            if problem := explained(e):
                raise problem from e
            raise InputError(
                f"MLflow cannot use this address ({type(e).__name__})",
                where=f"mlflow: {uri}",
                fix="give sqlite:///FILE in a folder that you may write to, or a server's http address",
            ) from e
        if found is not None and found.lifecycle_stage == LifecycleStage.DELETED:
            raise InputError(
                f"the experiment '{experiment}' was deleted",
                where=f"mlflow: {uri}",
                fix="restore it with `MLFLOW_TRACKING_URI=… mlflow experiments restore --experiment-id "
                f"{self.experiment_id}`, or name another database under 'mlflow'",
            )

    @classmethod
    def of(cls, site: Site, task: str) -> Tracker:
        """The tracker that a site's YAML asks for."""
        return cls(site.tracking_uri, task, site.tracking_server)

    @contextmanager
    def run(
        self,
        name: str,
        tags: Mapping[str, str] | None = None,
        *,
        parent: Run | None = None,
        place: Path | None = None,
        work: str = "",
    ) -> Iterator[Run]:
        """Open a run, or take up the one that this is; close it in any case.

        A run at the same place that does other work and still counts as running was killed: it is closed as
        such. A finished one is taken up only if its result is missing, since it was killed just before that
        was written; a failed one stays as it is. A child is taken up by its name, so that a phase stands
        there once.

        Args:
            tags: with the name they tell a child or a run without a place from others.
            place: the file or folder that the stage writes last.
            work: a digest of all that decides its figures.
        """
        wanted = {STAGE: name, **(tags or {})}
        if parent:
            wanted["mlflow.parentRunId"] = parent.info.run_id
        if place:
            wanted |= {PLACE: fingerprint(str(place.absolute())), WORK: work}
        if self.server:
            wanted[sync.TO] = self.server
        taken_up = {_RUNNING} if place and place.exists() else {_RUNNING, _FINISHED}
        run = self._earlier(wanted, taken_up)
        if run is None:
            run = self.client.create_run(self.experiment_id, tags=wanted, run_name=name)
        elif run.info.status != _RUNNING:
            self.client.update_run(run.info.run_id, status=_RUNNING)
            self.rename(run, name)  # what it was called tells of an end
            if sync.SENT in run.data.tags:  # what it will say now has not been sent
                self.client.delete_tag(run.info.run_id, sync.SENT)
        status = _FAILED
        try:
            yield run
            status = _FINISHED
        finally:
            self.client.set_terminated(run.info.run_id, status)

    def rename(self, run: Run, name: str) -> None:
        """Give a run another name, unless a person gave it one."""
        present = self.client.get_run(run.info.run_id)
        if is_unnamed(present):
            self.client.set_tag(run.info.run_id, NAMED, name)
            self.client.update_run(run.info.run_id, name=name)

    def log(
        self,
        run: Run,
        metrics: Mapping[str, float | None],
        step: int = 0,
        model: LoggedModel | None = None,
    ) -> None:
        """Log metrics in one batch; what is unknown (None) is left out.

        Args:
            model: of which the metrics tell: its page shows them, too.
        """
        now, known = get_current_time_millis(), {k: float(v) for k, v in metrics.items() if v is not None}
        of = model.model_id if model else None
        batch = [Metric(metric_name(k), v, now, step, model_id=of) for k, v in known.items()]
        for start in range(0, len(batch), MOST_METRICS):  # MLflow takes no more at once
            self.client.log_batch(run.info.run_id, metrics=batch[start : start + MOST_METRICS])

    def params(self, run: Run, params: Mapping[str, Any]) -> None:
        """Log parameters; a run that was taken up again has them already."""
        known = self.client.get_run(run.info.run_id).data.params
        new = [Param(k, str(v)) for k, v in params.items() if k not in known]
        for start in range(0, len(new), 100):  # MLflow takes no more at once
            self.client.log_batch(run.info.run_id, params=new[start : start + 100])

    def tag(self, run: Run, tags: Mapping[str, str]) -> None:
        """Tag a run that is open."""
        for name, value in tags.items():
            self.client.set_tag(run.info.run_id, name, value)

    def dataset(self, run: Run, name: str, digest: str, context: str) -> None:
        """Tell which data a run used: a name and a digest, nothing of where it lies."""
        data = Dataset(name=name, digest=digest[:36], source_type="local", source="{}")
        told = DatasetInput(data, [InputTag("mlflow.data.context", context)])
        self.client.log_inputs(run.info.run_id, [told])

    def software(self, run: Run, device: torch.device) -> None:
        """Tell which software on which machine: tags that the UI shows, and ``environment.json``."""
        from clinical_qkt.provenance import environment

        told = environment(device)
        self.tag(
            run, {"mlflow.source.name": f"clinical-qkt {told['clinical-qkt']}", "mlflow.source.type": "LOCAL"}
        )
        if told["git"]:
            self.tag(run, {"mlflow.source.git.commit": told["git"]})
        self.document(run, "environment.json", told)

    def artifact(self, run: Run, path: Path, folder: str | None = None) -> None:
        """Store a file, or a folder's files, with the run."""
        if path.is_dir():
            self.client.log_artifacts(run.info.run_id, str(path), folder)
        else:
            self.client.log_artifact(run.info.run_id, str(path), folder)

    def document(self, run: Run, name: str, content: Mapping[str, Any]) -> None:
        """Store plain data as a JSON or YAML file, as its name says."""
        self.client.log_dict(run.info.run_id, dict(content), name)

    def deliver(self) -> None:
        """Send what has ended to the site's tracking server; if it is away, say so and keep it."""
        if self.server:
            sync.deliver(self.uri)

    def _earlier(self, tags: Mapping[str, str], taken_up: set[str]) -> Run | None:
        """The run that this one is, if it was begun before.

        Args:
            taken_up: in which status.
        """
        if parent := tags.get("mlflow.parentRunId"):
            return _first(self._search(f"tags.`mlflow.parentRunId` = '{parent}'"), tags)
        if not (place := tags.get(PLACE)):
            return _first(self._search(f"attributes.status = '{_RUNNING}'"), tags)
        here = self._search(f"tags.`{PLACE}` = '{place}'")
        same = _first([r for r in here if r.info.status in taken_up], tags)
        for run in here:
            if run.info.status == _RUNNING and run is not same and begun_as(run) == tags[STAGE]:
                self._close_killed(run)
        return same

    def _close_killed(self, run: Run) -> None:
        children = self._search(f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        for left in [*children, run]:
            if left.info.status == _RUNNING:
                self.client.set_terminated(left.info.run_id, _KILLED)

    def _search(self, where: str) -> Sequence[Run]:
        return self.client.search_runs([self.experiment_id], where)


def _first(runs: Sequence[Run], tags: Mapping[str, str]) -> Run | None:
    return next(
        (run for run in runs if tags.items() <= {**run.data.tags, STAGE: begun_as(run)}.items()), None
    )


def begun_as(run: Run) -> str:
    """The name that a run was begun with; records of earlier versions know the present one only."""
    return str(run.data.tags.get(STAGE, run.info.run_name))


def is_unnamed(run: Run) -> bool:
    """Whether a run still has a name that was given here, and not by a person."""
    return run.info.run_name in (begun_as(run), run.data.tags.get(NAMED))


def metric_name(name: str) -> str:
    """A name that MLflow takes, and that no other name gets.

    Of ``after/recall/CLASS`` and the like the class is looked at, of other names all. What MLflow refuses in
    it, and ``:``, becomes ``_``; wherever something was changed, ``:`` and eight digits of a digest of the
    class's own name follow.
    """
    head = _BEFORE_CLASS.match(name)
    start = head.end() if head else 0
    before, part = name[:start], name[start:]
    most = MAX_ENTITY_KEY_LENGTH - len(before)
    plain = re.sub(r"[^\w\-./ ]", "_", part)
    plain = "/".join(re.sub(r"^(\.\.|\.$|$)", "_", p) for p in plain.split("/"))  # no step of a path
    if plain == part and 0 < len(part) <= most:
        return name
    mark = ":" + hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return before + plain[: most - len(mark)] + mark


def evaluation_figures(when: str, part: Mapping[str, Any]) -> dict[str, float | None]:
    """The part ``before`` or ``after`` of a summary under its MLflow names."""
    low, high = part["query_recall_ci95"] or (None, None)
    found = {
        f"{when}/query_recall": part["query_recall"],
        f"{when}/query_recall_low": low,
        f"{when}/query_recall_high": high,
        f"{when}/retained_recall": part["retained_recall"],
        f"{when}/calibration_error": part["calibration"]["error"],
        f"{when}/calibration_error_high": _ends(part["calibration"].get("ci95"))[1],
    }
    for name, row in part["per_class"].items():
        found |= {f"{when}/{key}/{name}": row[key] for key in ("recall", "precision", "f1", "auroc")}
    return found | _false_alarms(when, part.get("false_alarms") or {})


def _false_alarms(when: str, told: Mapping[str, Any]) -> dict[str, float | None]:
    """Of the images of other classes the share that is called a queried one: of all of them, and of each."""
    if not told:
        return {}
    overall = told["overall"]
    low, high = _ends(overall["ci95"])
    return {
        f"{when}/false_alarms": overall["share"],
        f"{when}/false_alarms_low": low,
        f"{when}/false_alarms_high": high,
        **{f"{when}/false_alarms/{name}": row["share"] for name, row in told["per_class"].items()},
    }


def figures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """A transfer summary's figures under their MLflow names; the summary is as JSON has it."""
    lost, decided = summary["forgetting"], verdict(summary)
    return {
        **evaluation_figures("before", summary["before"]),
        **evaluation_figures("after", summary["after"]),
        **{_forgetting(name): value for name, value in lost["per_class"].items()},
        "forgetting/mean": lost["mean"],
        "forgetting/worst": lost["worst"],
        "forgetting/worst_high": _ends(lost.get("worst_ci95"))[1],
        "forgetting/mean_loss": lost.get("mean_loss"),
        "forgetting/mean_loss_high": _ends(lost.get("mean_loss_ci95"))[1],
        "accepted": float(decided == "accepted"),
        "undecided": float(decided == "cannot be decided"),
        "bytes_received": float(summary["bytes_received"]),
    }


def verdict(summary: Mapping[str, Any]) -> str:
    """``accepted``, ``not accepted`` or ``cannot be decided``."""
    if "verdict" in summary:
        return str(summary["verdict"])
    return "accepted" if summary["accepted"] else "not accepted"


def _ends(interval: Sequence[float] | None) -> tuple[float | None, float | None]:
    """Both ends of a 95 % interval, which is unknown without images."""
    low, high = interval or (None, None)
    return low, high


def _forgetting(name: str) -> str:
    """Where a class's loss stands; a class that is called as an overall figure is gets a mark before it."""
    return f"forgetting/:{name}" if name.lstrip(":") in _OVERALL else f"forgetting/{name}"
