"""The student's model in MLflow's registry: under the task's name, with an alias once it is accepted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient, pyfunc
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric, Run
from mlflow.entities.logged_model_status import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import Schema, TensorSpec

from clinical_qkt.core.terms import ACCEPTED as ACCEPTED
from clinical_qkt.core.terms import REFUSED, UNDECIDED, Verdict
from clinical_qkt.core.version import __version__
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.writer import CARD
from clinical_qkt.review.tracking import notes, store

# ACCEPTED is the alias of the model in use, too: the newest that was accepted, or the one that was restored.
# As a tag of runs and versions it is ``true`` or ``false``.
VERDICT = "verdict"
"""The tag of runs and versions: ``accepted``, ``not accepted`` or ``cannot be decided``."""
FROM_RUN = ("query", "site")
"""Tags that a version has from its run."""
RESTORED = "clinical_qkt.restored_at"
"""The tag of a registered model: when a person last chose the version in use, in milliseconds. Transfers that
began before that do not take the alias away."""
LOADER = "clinical_qkt.review.tracking.pyfunc"
_VERDICTS: dict[str, Verdict] = {ACCEPTED: ACCEPTED, REFUSED: REFUSED, UNDECIDED: UNDECIDED}
_EARLIER: dict[str, Verdict] = {"true": ACCEPTED, "false": REFUSED}
"""Tags of before there were three verdicts."""
_NAME = "student"
_DECIDING = ("mlflow", "monai", "numpy", "safetensors", "torch")
_DECIDED, _TOLD_OF = "clinical_qkt.decided", "clinical_qkt.told_of"
"""Tags: when the transfer began that a version was decided by, or that a model's description tells of."""
_VERSIONS = "mlflow.modelVersions"
"""The tag of a logged model by which its page knows where it is registered."""
_UNKNOWN = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


def registered(client: MlflowClient, run: Run, task: str, folder: Path) -> str:
    """Log a model folder with the run and register it; what an earlier start did is not done twice.

    Nothing is said of the version yet; ``decide`` does that.

    Args:
        client: of the database or server that holds the run, which is open.
        task: the name in the registry.
        folder: of the model, see ``packages.model``.

    Returns:
        The version.
    """
    source, version = _logged(client, run, folder), _version_of(client, run, task)
    if version is None:
        version = _new_version(client, run, task, source)
    present = client.get_run(run.info.run_id).outputs
    if source not in [m.model_id for m in (present.model_outputs if present else ())]:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(source, step=0)])
    client.set_logged_model_tags(source, {_VERSIONS: json.dumps([{"name": task, "version": version}])})
    return version


def _new_version(client: MlflowClient, run: Run, task: str, source: str) -> str:
    ensure_named(client, task)
    tags = {name: run.data.tags[name] for name in FROM_RUN if name in run.data.tags}
    with _looked_up_at(client):
        made = client.create_model_version(
            task,
            f"models:/{source}",
            run.info.run_id,
            tags,
            model_id=source,
            description=notes.UNDECIDED_YET,
        )
    return str(made.version)


def decide(client: MlflowClient, task: str, version: str, run: Run, verdict: Verdict, note: str) -> None:
    """Say what was decided of a version: its tags, its description, and the alias if it is accepted.

    The registered model's and the experiment's descriptions tell of it too, unless a person wrote them. All
    of it can be done again.

    Args:
        run: that made the version.
        note: the report's sentence.
    """
    accepted = verdict == ACCEPTED
    tags = {name: run.data.tags[name] for name in FROM_RUN if name in run.data.tags}
    tags |= {VERDICT: verdict, ACCEPTED: str(accepted).lower(), _DECIDED: str(run.info.start_time)}
    for name, value in tags.items():
        client.set_model_version_tag(task, version, name, value)
    _point(client, task, version, run.info.start_time, accepted)
    _describe(client, task, version, run, notes.text(run, verdict, note))


def in_use(client: MlflowClient, task: str) -> ModelVersion | None:
    """The version that has the alias ``accepted``; None if none has, or nothing is registered so."""
    model = _named(client, task)
    holder = model.aliases.get(ACCEPTED) if model else None
    return None if holder is None else client.get_model_version(task, str(holder))


def held(clients: Sequence[MlflowClient], task: str, site: str, to: Path) -> tuple[str, Path] | None:
    """The model that a site uses now: its version, and its folder copied out.

    Args:
        clients: of the places to look at, the one that counts most first.
        task: the name in the registry.
        site: whose model it must be; several sites may share a server.
        to: an empty folder.

    Returns:
        None where none of the site's is in use.
    """
    for client in clients:
        version = in_use(client, task)
        if version and version.tags.get("site", site) == site:
            return str(version.version), fetched(client, version, to)
    return None


def verdict_of(version: ModelVersion) -> Verdict | None:
    """What was decided of a version; None if nothing was yet, or its tag says nothing that is known."""
    if VERDICT in version.tags:
        return _VERDICTS.get(version.tags[VERDICT])
    return _EARLIER.get(version.tags.get(ACCEPTED, ""))


def logged_model(client: MlflowClient, run: Run) -> LoggedModel | None:
    """The run's logged model, if there is one that is whole."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return next((m for m in found if m.status == LoggedModelStatus.READY), None)


def link_metrics(client: MlflowClient, run: Run, to: MlflowClient, there: Run) -> None:
    """Tell another server which of a run's metrics are of its logged model.

    Args:
        to: the server.
        there: its run, which is open and has a logged model.
    """
    here, made = logged_model(client, run), logged_model(to, there)
    told = (here and here.metrics) or []
    of = made.model_id if made else None
    batch = [Metric(m.key, m.value, m.timestamp, m.step, model_id=of) for m in told]
    for part in store.parts(batch):
        to.log_batch(there.info.run_id, metrics=part)


def save(card: Card, folder: Path, to: Path) -> None:
    """Write an MLflow model that holds the model folder, with its signature and an example made of noise."""
    shape = (card.input.channels, *card.input.spatial_size)
    low, high = card.input.value_range
    noise = np.random.default_rng(0).uniform(low, high, (1, *shape)).astype(np.float32)
    pyfunc.save_model(
        str(to),
        loader_module=LOADER,
        data_path=str(folder),
        signature=ModelSignature(
            Schema([TensorSpec(np.dtype("float32"), (-1, *shape))]),
            Schema([TensorSpec(np.dtype("float32"), (-1, len(card.labels)))]),
        ),
        input_example=noise,
        pip_requirements=requirements(),
        metadata={
            "classes": card.labels.names,
            "weights_sha256": card.weights_sha256,
            "licence": card.licence,
            "needs": f"clinical-qkt {__version__}, installed beforehand: it is on no index",
        },
    )


def requirements() -> list[str]:
    """The packages that decide what a model says, as they are here; each is on the public index.

    This software is not: whoever had its name there could run code wherever a model is served, since MLflow
    installs what a model names. It has to be there before.
    """
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in _DECIDING]


def fetched(client: MlflowClient, version: ModelVersion, to: Path) -> Path:
    """The model folder of a registered version, copied out of the client's database or server.

    Args:
        to: an empty folder.
    """
    # Not ``version.source``: MLflow looks that up at the default address, whichever client is asked.
    place = client.get_model_version_download_uri(version.name, str(version.version))
    got = download_artifacts(artifact_uri=place, dst_path=str(to), tracking_uri=client.tracking_uri)
    return next(Path(got).glob(f"data/*/{CARD}")).parent


def _logged(client: MlflowClient, run: Run, folder: Path) -> str:
    """The id of the run's logged model, made if there is none that is whole."""
    if whole := logged_model(client, run):
        return str(whole.model_id)
    card = Card.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
    made = client.create_logged_model(run.info.experiment_id, _NAME, run.info.run_id)
    with tempfile.TemporaryDirectory() as work:
        save(card, folder, Path(work) / "model")
        client.log_model_artifacts(made.model_id, str(Path(work) / "model"))
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    return str(made.model_id)


@contextmanager
def _looked_up_at(client: MlflowClient) -> Iterator[None]:
    """MLflow looks a logged model up at the default address, whichever client is asked."""
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else ""
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _version_of(client: MlflowClient, run: Run, task: str) -> str | None:
    found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    return next((str(v.version) for v in found if v.name == task), None)


def ensure_named(client: MlflowClient, task: str) -> None:
    if _named(client, task) is None:
        client.create_registered_model(task)


def _named(client: MlflowClient, task: str) -> RegisteredModel | None:
    """The registered model of a task; None if there is none. Any other trouble is the caller's."""
    try:
        return client.get_registered_model(task)
    except MlflowException as e:
        if e.error_code == _UNKNOWN:
            return None
        raise


def _describe(client: MlflowClient, task: str, version: str, run: Run, told: str) -> None:
    """The version's description; and the model's and the experiment's, unless a later transfer's is there."""
    notes.of_version(client, task, version, told)
    began = run.info.start_time
    if began >= int(client.get_registered_model(task).tags.get(_TOLD_OF, 0)):
        newest = f"Version {version}, of the newest transfer. {told}"
        notes.of_model(client, task, newest)
        notes.of_experiment(client, run.info.experiment_id, newest)
        client.set_registered_model_tag(task, _TOLD_OF, str(began))


def _point(client: MlflowClient, task: str, version: str, decided: int, accepted: bool) -> None:
    """Set or withdraw the alias. A run that is sent late does not take it from a later one."""
    model = client.get_registered_model(task)
    if decided <= int(model.tags.get(RESTORED, 0)):
        return  # a person has chosen since
    holder = model.aliases.get(ACCEPTED)
    if not accepted:
        if holder is not None and str(holder) == version:  # it was accepted before it was run again
            client.delete_registered_model_alias(task, ACCEPTED)
        return
    if holder is not None and str(holder) != version:
        since = client.get_model_version(task, str(holder)).tags.get(_DECIDED, "0")
        if int(since) > decided:
            return
    client.set_registered_model_alias(task, ACCEPTED, version)
