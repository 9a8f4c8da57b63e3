"""Names and descriptions in MLflow: the verdict, the sentence and where to read on.

What a person wrote is left alone: a name or description that was not written here, or that somebody has
changed since, stays as it is. Beside each stands what was written last, or a digest of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Run

from clinical_qkt.core.files import fingerprint

NOTE = "mlflow.note.content"
"""The tag of a run or an experiment that the UI shows as its description."""
OURS = "clinical_qkt.described"
"""A tag with the digest of the description that was written last."""
STAGE, NAMED = "clinical_qkt.stage", "clinical_qkt.named"
"""Tags of a run: what it was begun as, by which it is found again; and the name that it was last given here,
so that a name that a person gave is known as such."""
SENTENCE = "clinical_qkt.sentence"
"""A tag of a run with the report's sentence, from which descriptions are made."""
UNDECIDED_YET = "No verdict yet: the transfer that made this version has not ended."
_KIND = "?workflowType=machine_learning"
"""Keeps the UI in its view for models, see ``viewing``."""
_MOST = 4900
"""Characters of a description: some databases take no more than 5,000."""


def place(run: Run) -> str:
    """A run's page, as the UI links to it; it holds wherever the UI is served."""
    return f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def text(run: Run, verdict: str, sentence: str) -> str:
    """The verdict, the report's sentence, and links to the run and its report."""
    links = f"[The run]({place(run)}{_KIND}), [its report]({place(run)}/artifacts/report.html{_KIND})"
    return f"{verdict.capitalize()}. {sentence}"[: _MOST - len(links) - 2].rstrip() + f"\n\n{links}"


def of_run(client: MlflowClient, run: Run, content: str) -> None:
    """Describe a run that is open."""
    tags = client.get_run(run.info.run_id).data.tags
    if is_ours(tags.get(NOTE), tags):
        client.set_tag(run.info.run_id, NOTE, content)
        client.set_tag(run.info.run_id, OURS, fingerprint(content))


def of_experiment(client: MlflowClient, experiment_id: str, content: str) -> None:
    """Describe an experiment."""
    tags = client.get_experiment(experiment_id).tags
    if is_ours(tags.get(NOTE), tags):
        client.set_experiment_tag(experiment_id, NOTE, content)
        client.set_experiment_tag(experiment_id, OURS, fingerprint(content))


def of_version(client: MlflowClient, task: str, version: str, content: str) -> None:
    """Describe a version of a registered model."""
    there = client.get_model_version(task, version)
    if is_ours(there.description, there.tags):
        client.update_model_version(task, version, content)
        client.set_model_version_tag(task, version, OURS, fingerprint(content))


def of_model(client: MlflowClient, task: str, content: str) -> None:
    """Describe a registered model."""
    there = client.get_registered_model(task)
    if is_ours(there.description, there.tags):
        client.update_registered_model(task, content)
        client.set_registered_model_tag(task, OURS, fingerprint(content))


def is_ours(present: str | None, tags: Mapping[str, str]) -> bool:
    """Whether a description is missing, or is what was written here last."""
    return not present or present == UNDECIDED_YET or fingerprint(present) == tags.get(OURS)


def begun_as(run: Run) -> str:
    """The name that a run was begun with; records of earlier versions know the present one only."""
    return str(run.data.tags.get(STAGE, run.info.run_name))


def is_unnamed(run: Run) -> bool:
    """Whether a run still has a name that was given here, by this version or an earlier one."""
    tags = run.data.tags
    given = (tags.get(STAGE), tags.get(NAMED), f"transfer to {tags.get('site')}")
    return run.info.run_name in given
