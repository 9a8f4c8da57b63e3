"""What goes to MLflow, under which names.

One experiment a task; one run for each training, one parent run for each transfer with child runs for its
phases. A run is known by its place and by what decides its figures: cut off by a kill, it is taken up again
by the next start of the same stage, not left open and not doubled.

Everything is first written to a local database; where the site's YAML names a tracking server, ``sync`` sends
it there when a stage has ended.
"""

from __future__ import annotations

import logging
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

from clinical_qkt.core.errors import InputError, explained
from clinical_qkt.core.files import fingerprint
from clinical_qkt.review.tracking import store, sync
from clinical_qkt.review.tracking.figure_names import evaluation_figures as evaluation_figures
from clinical_qkt.review.tracking.figure_names import figures as figures
from clinical_qkt.review.tracking.figure_names import metric_name as metric_name
from clinical_qkt.review.tracking.notes import NAMED, STAGE, begun_as, is_unnamed
from clinical_qkt.review.tracking.viewing import address as address

if TYPE_CHECKING:  # whoever only reads records need not wait for these
    import torch

    from clinical_qkt.site.config import Site

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
PLACE, WORK = "clinical_qkt.place", "clinical_qkt.work"
"""Tags of a run: where its results go and what decides its figures, both as digests."""
_RUNNING, _FINISHED = RunStatus.to_string(RunStatus.RUNNING), RunStatus.to_string(RunStatus.FINISHED)
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
            store.ensure_database(uri)
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            self.client = mlflow.MlflowClient(uri, uri)
            found = self.client.get_experiment_by_name(experiment)
            if found is None:
                self.experiment_id = sync.make_experiment(self.client, experiment)
            else:
                self.experiment_id = found.experiment_id
                if found.lifecycle_stage != LifecycleStage.DELETED:
                    sync.show(self.client, self.experiment_id)
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
        for part in store.parts(batch):
            self.client.log_batch(run.info.run_id, metrics=part)

    def params(self, run: Run, params: Mapping[str, Any]) -> None:
        """Log parameters; a run that was taken up again has them already."""
        known = self.client.get_run(run.info.run_id).data.params
        new = [Param(k, str(v)) for k, v in params.items() if k not in known]
        for part in store.parts(new):
            self.client.log_batch(run.info.run_id, params=part)

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
        from clinical_qkt.review.tracking.provenance import environment

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

    def places(self) -> list[mlflow.MlflowClient]:
        """Where records may lie: the site's tracking server first, where there is one and it answers.

        Raises:
            OutputError: it does not.
        """
        if not self.server:
            return [self.client]
        store.require_awake(self.server)
        return [mlflow.MlflowClient(self.server, self.server), self.client]

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
