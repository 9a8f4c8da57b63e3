"""From what the user calls a run to a transfer's summary: a folder, a file, or a run in MLflow."""

from __future__ import annotations

import datetime
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_qkt.core.errors import InputError
from clinical_qkt.review.comparison.reading import SENTENCE, Compared, plain, read_summary
from clinical_qkt.review.tracking.notes import is_unnamed

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SUMMARY = "summary.json"
SHORT = 8
"""Characters of a run id that are shown."""
KINDS = "a transfer's folder, its summary.json, or an MLflow run id or name"


def find_runs(names: Sequence[str], uri: str | None) -> list[Compared]:
    """The transfers that are meant, in the given order, with distinct labels.

    Args:
        names: folders, files, MLflow run ids (or at least six characters of one) or run names. What is there
            as a file or folder is taken as such.
        uri: the tracking store.

    Raises:
        InputError: there are fewer than two, or one cannot be found or read.
    """
    if len(names) < 2:
        raise InputError("one transfer alone cannot be compared", where="RUN", fix="name two or more")
    store = None if uri is None or all(_is_there(n) for n in names) else Store(uri)
    found = [_from_file(Path(n)) if _is_there(n) else _from_store(n, store) for n in names]
    doubled = {label for label, n in Counter(run.label for run, _ in found).items() if n > 1}
    runs = [replace(r, label=f"{r.label} ({which})") if r.label in doubled else r for r, which in found]
    if len({r.label for r in runs}) < len(runs):
        raise InputError("the same run is named twice", where="RUN", fix="name each once")
    return runs


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # no file can have such a name; a run may
        return False


def _from_file(path: Path) -> tuple[Compared, str]:
    """A transfer by its folder or file, and what tells it from others of the same label."""
    file = path / SUMMARY if path.is_dir() else path
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"holds no {SUMMARY}: no transfer was finished there",
            where=str(path),
            fix="give the 'transfer_dir' of a site that has run `transfer` to its end",
        ) from None
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=str(file), fix=f"give {KINDS}") from None
    folder = path if path.is_dir() else path.parent
    label = folder.resolve().name if path.is_dir() or path.name == SUMMARY else path.stem
    return Compared(plain(label), *read_summary(content, str(file))), plain(path, SENTENCE)


def _from_store(name: str, store: Store | None) -> tuple[Compared, str]:
    if store is None:
        raise InputError(
            "there is no such file or folder",
            where=f"RUN {plain(name, SENTENCE)}",
            fix=f"give {KINDS}; for a run in MLflow also --mlflow URI or --site SITE.yaml",
        )
    run = store.run(name)
    where = f"MLflow run {run.info.run_id[:SHORT]} ('{plain(run.info.run_name)}')"
    summary, logged = read_summary(store.summary(run, where), where)
    short = run.info.run_id[:SHORT]
    # Every transfer has a name like others' by itself; whoever gave a run another one knows it by that.
    return Compared(short if is_unnamed(run) else plain(run.info.run_name), summary, logged), short


class Store:
    """A tracking store that is read and never written to.

    Raises:
        InputError: it cannot be reached.
    """

    def __init__(self, uri: str) -> None:
        file = Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///") and not file.is_file():  # MLflow would make one
            raise InputError("there is no such database", where=f"mlflow: {uri}", fix="correct the address")
        from mlflow import MlflowClient

        # Somebody waits: a server that is away should be told of in seconds, not in minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        self.uri = uri
        try:
            self.client: MlflowClient = MlflowClient(uri)
            self.experiments = [e.experiment_id for e in self.client.search_experiments()]
        except Exception as e:  # MLflow's stores raise what their databases and HTTP libraries raise
            raise InputError(
                f"MLflow cannot use this address ({type(e).__name__})",
                where=f"mlflow: {uri}",
                fix="give sqlite:///FILE, or a tracking server that is up",
            ) from e

    def run(self, name: str) -> Run:
        """The one run that is meant.

        Raises:
            InputError: there is none, or more than one.
        """
        found: dict[str, Run] = {}
        if re.fullmatch(r"[0-9a-f]{6,32}", name):
            found |= self._where(name, f"attributes.run_id LIKE '{name}%'")
        if not ("'" in name and '"' in name):  # MLflow's filters cannot say such a name
            quote = '"' if "'" in name else "'"
            found |= self._where(name, f"attributes.run_name = {quote}{name}{quote}")
        if len(found) == 1:
            return next(iter(found.values()))
        if not found:
            raise InputError(
                "is neither a file or folder nor the id or name of an MLflow run",
                where=f"RUN {plain(name, SENTENCE)}",
                fix=f"give {KINDS} in {self.uri}; at least 6 characters of an id",
            )
        told = [f"\n  {id_[:12]}  {_said(run)}" for id_, run in list(found.items())[:8]]
        more = f"\n  and {len(found) - 8} more" if len(found) > 8 else ""
        raise InputError(
            f"{len(found)} runs are called so:{''.join(told)}{more}",
            where=f"RUN {plain(name, SENTENCE)}",
            fix="give more of the id of the one that you mean",
        )

    def summary(self, run: Run, where: str) -> bytes:
        """A run's summary, as it was logged.

        Raises:
            InputError: it has none, or it cannot be fetched.
        """
        parent, status = run.data.tags.get("mlflow.parentRunId"), run.info.status
        if parent:
            raise InputError(
                f"is one phase of the transfer {parent[:SHORT]}", where=where, fix="give the transfer's id"
            )
        if status != "FINISHED":
            why = "has not ended" if status in ("RUNNING", "SCHEDULED") else f"did not finish ({status})"
            raise InputError(why, where=where, fix="run that transfer again, or leave it out")
        try:
            if SUMMARY in [f.path for f in self.client.list_artifacts(run.info.run_id)]:
                with tempfile.TemporaryDirectory() as folder:
                    fetched = self.client.download_artifacts(run.info.run_id, SUMMARY, folder)
                    return Path(fetched).read_bytes()
        except Exception as e:  # as above
            raise InputError(
                f"its {SUMMARY} cannot be fetched ({type(e).__name__})",
                where=where,
                fix="see whether the store's artifacts are where they were",
            ) from e
        raise InputError(
            f"has no {SUMMARY}, so it is no transfer, or its artifacts are no longer where they were",
            where=where,
            fix="give the run of a transfer; a training cannot be compared",
        )

    def _where(self, name: str, wanted: str) -> dict[str, Run]:
        try:
            runs = self.client.search_runs(self.experiments, wanted, max_results=50)
        except Exception as e:  # as above
            raise InputError(
                f"cannot be looked up in {self.uri} ({type(e).__name__})",
                where=f"RUN {plain(name, SENTENCE)}",
                fix="give the run's id",
            ) from e
        return {r.info.run_id: r for r in runs}


def _said(run: Run) -> str:
    began = datetime.datetime.fromtimestamp(run.info.start_time / 1000).strftime("%Y-%m-%d %H:%M:%S")
    told = [run.info.run_name, run.data.tags.get("method", ""), began, run.info.status.lower()]
    return ", ".join(plain(t) for t in told if t)
