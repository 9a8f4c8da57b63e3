"""Records that were kept locally are sent to a tracking server, each once.

A run on the server carries the id of the local one. So what was sent in part goes on where it stopped, and
what was sent is not sent again, whenever and however often the sending was cut off.
"""

from __future__ import annotations

import fcntl
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, Run, RunStatus, RunTag

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.review.tracking import notes, store
from clinical_qkt.review.tracking.viewing import EXPERIMENT

TO, SENT, ORIGIN = "clinical_qkt.send_to", "clinical_qkt.sent", "clinical_qkt.origin"
"""Tags: of a local run the server's address and, once all of it is there, the server that has it; of a run on
the server the local one's id."""


def make_experiment(client: MlflowClient, name: str) -> str:
    """A new experiment, whose artifacts lie beside a local database."""
    return str(client.create_experiment(name, store.beside(client.tracking_uri), EXPERIMENT))


def show(client: MlflowClient, experiment_id: str) -> None:
    """Give an experiment the view of transfers, if it has none or an earlier version's."""
    present = client.get_experiment(experiment_id).tags
    for name, value in EXPERIMENT.items():
        if present.get(name) != value:
            client.set_experiment_tag(experiment_id, name, value)


def deliver(uri: str) -> None:
    """After a stage: send what can be sent, and otherwise say how to send it later."""
    try:
        send(uri)
    except Exception as e:  # whatever is wrong with the server, the stage's results stand
        why = e.problem if isinstance(e, OutputError) else type(e).__name__
        print(
            f"warning: the MLflow server was not reached ({why}); the records are kept, send them with\n"
            f"  clinical-qkt sync {store.database_file(uri)}",
            file=sys.stderr,
        )


def send(uri: str, server: str | None = None) -> int:
    """Send every run that has ended and was not sent.

    Args:
        uri: of the local database, ``sqlite:///FILE``.
        server: its address; the one that each run was meant for if None.

    Returns:
        How many runs were sent, not counting their children.

    Raises:
        InputError: there is no such database.
        OutputError: a server is away or refuses.
    """
    with _alone(uri):
        local, sent = MlflowClient(uri, uri), 0
        for experiment in local.search_experiments():
            runs = _all_runs(local, experiment.experiment_id)
            children: dict[str, list[Run]] = {}
            for run in runs:
                children.setdefault(run.data.tags.get("mlflow.parentRunId", ""), []).append(run)
            for run in children.get("", ()):
                to = server or run.data.tags.get(TO)
                if to is None or run.data.tags.get(SENT) == to or not _ended(run):
                    continue
                with store.told(to):
                    store.require_awake(to)
                    _send_tree(
                        local,
                        MlflowClient(to, to),
                        experiment.name,
                        [run, *children.get(run.info.run_id, ())],
                    )
                local.set_tag(run.info.run_id, SENT, to)
                sent += 1
    return sent


def _send_tree(local: MlflowClient, remote: MlflowClient, experiment: str, runs: Sequence[Run]) -> None:
    """A parent and its children; the parent is closed last."""
    found = remote.get_experiment_by_name(experiment)
    if found and found.lifecycle_stage == LifecycleStage.DELETED:
        raise OutputError(
            f"the experiment '{experiment}' was deleted there",
            where=remote.tracking_uri,
            fix=f"restore it with `mlflow experiments restore --experiment-id {found.experiment_id}`",
        )
    where = found.experiment_id if found else make_experiment(remote, experiment)
    show(remote, where)
    parent = runs[0]
    there = _counterpart(remote, where, parent)
    for run in runs[1:]:
        _send_run(local, remote, run, _counterpart(remote, where, run, there))
    _send_model(local, remote, parent, there, experiment)
    _send_run(local, remote, parent, there)


def _counterpart(remote: MlflowClient, experiment_id: str, run: Run, parent: Run | None = None) -> Run:
    """The server's run for a local one: begun by an earlier sending, or new."""
    found = remote.search_runs([experiment_id], f"tags.`{ORIGIN}` = '{run.info.run_id}'")
    if found:
        return found[0]
    tags = {k: v for k, v in run.data.tags.items() if k not in (TO, SENT)} | {ORIGIN: run.info.run_id}
    if parent:
        tags["mlflow.parentRunId"] = parent.info.run_id
    return remote.create_run(experiment_id, run.info.start_time, tags, run.info.run_name)


def _send_run(local: MlflowClient, remote: MlflowClient, run: Run, there: Run) -> None:
    """Parameters, metrics with their history, tags, data and artifacts; all of it can be sent again."""
    to = there.info.run_id
    skip = {TO, SENT, "mlflow.parentRunId", "mlflow.runName", notes.NOTE, notes.OURS}
    tags = [RunTag(k, v) for k, v in run.data.tags.items() if k not in skip]
    params = [Param(k, v) for k, v in run.data.params.items() if k not in there.data.params]
    metrics = [
        Metric(m.key, m.value, m.timestamp, m.step)
        for key in run.data.metrics
        for m in local.get_metric_history(run.info.run_id, key)
    ]
    _send_words(remote, run, there)
    for part in store.parts(params):
        remote.log_batch(to, params=part)
    for part in store.parts(metrics):
        remote.log_batch(to, metrics=part)
    for part in store.parts(tags):
        remote.log_batch(to, tags=part)
    if run.inputs and run.inputs.dataset_inputs:
        remote.log_inputs(to, run.inputs.dataset_inputs)
    with tempfile.TemporaryDirectory() as work:
        if local.list_artifacts(run.info.run_id):
            remote.log_artifacts(to, local.download_artifacts(run.info.run_id, "", work))
    remote.set_terminated(to, run.info.status, run.info.end_time)


def _send_words(remote: MlflowClient, run: Run, there: Run) -> None:
    """Name and description, unless a person gave the server's run others; links lead to its own pages."""
    if notes.is_unnamed(there) and run.info.run_name != there.info.run_name:
        remote.update_run(there.info.run_id, name=run.info.run_name)
    if content := run.data.tags.get(notes.NOTE):
        notes.of_run(remote, there, content.replace(notes.place(run), notes.place(there)))


def _send_model(local: MlflowClient, remote: MlflowClient, run: Run, there: Run, task: str) -> None:
    """The version that the run registered, if it did, with its figures and what was decided of it."""
    from clinical_qkt.review.tracking import registry  # which takes MONAI's seconds to import

    for version in local.search_model_versions(f"run_id = '{run.info.run_id}'"):
        with tempfile.TemporaryDirectory() as work:
            source = registry.fetched(local, version, Path(work))
            sent = registry.registered(remote, there, task, source)
        registry.link_metrics(local, run, remote, there)
        if verdict := registry.verdict_of(version):
            registry.decide(remote, task, sent, there, verdict, run.data.tags.get(notes.SENTENCE, ""))


def _ended(run: Run) -> bool:
    return RunStatus.is_terminated(RunStatus.from_string(run.info.status))


def _all_runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    """Oldest first; MLflow gives no more than a page of them at once."""
    found: list[Run] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs(
            [experiment_id], order_by=["attributes.start_time ASC"], page_token=token or None
        )
        found, token = [*found, *page], page.token or None
    return found


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Two sendings at once would each begin a run that the other does not see."""
    database = store.database_file(uri)
    if not database.is_file():
        raise InputError("there is no such database", where=str(database), fix="give a run's mlflow.db")
    with database.with_name(f"{database.name}.sync.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
