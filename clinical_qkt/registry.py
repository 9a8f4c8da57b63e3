"""The student's model in MLflow's registry: under the task's name, with an alias once it is accepted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient, pyfunc
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput, Run
from mlflow.entities.logged_model_status import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException, RestException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from clinical_qkt import __version__
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.folder import CARD

ACCEPTED = "accepted"
"""The alias of the newest model that fulfils the acceptance rule of the site's YAML."""
LOADER = "clinical_qkt.served"
_NAME = "student"
_DECIDED = "clinical_qkt.decided"


def register(client: MlflowClient, run: Run, task: str, folder: Path, *, accepted: bool) -> str:
    """Log a model folder with the run and register it; what an earlier start did is not done twice.

    Args:
        client: of the database or server that holds the run.
        task: the name in the registry.
        folder: of the model, see ``packages.store``.
        accepted: whether the version gets the alias ``accepted``, unless a later model has it.

    Returns:
        The version.
    """
    version = _version_of(client, run, task)
    if version is None:
        source = _logged(client, run, folder)
        _ensure_named(client, task)
        with _looked_up_at(client):
            made = client.create_model_version(task, f"models:/{source}", run.info.run_id, model_id=source)
        version = str(made.version)
    client.set_model_version_tag(task, version, ACCEPTED, str(accepted).lower())
    client.set_model_version_tag(task, version, _DECIDED, str(run.info.start_time))
    _point(client, task, version, run.info.start_time, accepted)
    return version


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
        pip_requirements=[f"clinical-qkt=={__version__}"],
        metadata={"classes": card.labels.names, "weights_sha256": card.weights_sha256},
    )


def fetched(client: MlflowClient, version: ModelVersion, to: Path) -> Path:
    """The model folder of a registered version, copied out of a database or server.

    Args:
        to: an empty folder.
    """
    got = download_artifacts(artifact_uri=version.source, dst_path=str(to), tracking_uri=client.tracking_uri)
    return next(Path(got).glob(f"data/*/{CARD}")).parent


def _logged(client: MlflowClient, run: Run, folder: Path) -> str:
    """The id of the run's logged model, made if there is none that is whole."""
    for model in client.search_logged_models([run.info.experiment_id]):
        if model.source_run_id == run.info.run_id and model.status == LoggedModelStatus.READY:
            return model.model_id
    card = Card.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
    made = client.create_logged_model(run.info.experiment_id, _NAME, run.info.run_id)
    with tempfile.TemporaryDirectory() as work:
        save(card, folder, Path(work) / "model")
        client.log_model_artifacts(made.model_id, str(Path(work) / "model"))
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(made.model_id, step=0)])
    return str(made.model_id)


@contextmanager
def _looked_up_at(client: MlflowClient) -> Iterator[None]:
    """MLflow looks a logged model up at the default address, whichever client is asked."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _version_of(client: MlflowClient, run: Run, task: str) -> str | None:
    found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    return next((str(v.version) for v in found if v.name == task), None)


def _ensure_named(client: MlflowClient, task: str) -> None:
    try:
        client.get_registered_model(task)
    except (MlflowException, RestException):
        client.create_registered_model(task)


def _point(client: MlflowClient, task: str, version: str, decided: int, accepted: bool) -> None:
    """Set or withdraw the alias. A run that is sent late does not take it from a later one."""
    aliases = client.get_registered_model(task).aliases
    holder = aliases.get(ACCEPTED)
    if not accepted:
        if holder is not None and str(holder) == version:  # it was accepted before it was run again
            client.delete_registered_model_alias(task, ACCEPTED)
        return
    if holder is not None and str(holder) != version:
        since = client.get_model_version(task, str(holder)).tags.get(_DECIDED, "0")
        if int(since) > decided:
            return
    client.set_registered_model_alias(task, ACCEPTED, version)
