"""MLflow's UI as a reviewer meets it: the line that starts it, and the page that shows the transfers.

By itself the UI opens in its view for conversations with language models, which has no models to show, and
with columns that say nothing of a transfer. Both can be chosen by an address: the view by
``workflowType``, the columns by a shared view, which the UI keeps as a tag of the experiment.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from urllib.parse import urlencode

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.quiet import OFF

LOCAL = "http://127.0.0.1:5000"
"""Where ``mlflow ui`` is reached when nothing else is said."""
COLUMNS = (
    "tags.`query`",
    "tags.`verdict`",
    "metrics.`after/query_recall_low`",
    "metrics.`after/false_alarms_high`",
    "metrics.`forgetting/worst_high`",
    "params.`data_sha256`",
)
"""What is shown of each transfer: every figure at its bad end, as many as a screen has room for."""
_VIEW = "transfers"
EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",
    f"mlflow.sharedViewState.{_VIEW}": json.dumps(
        {"selectedColumns": COLUMNS, "searchFilter": "tags.method LIKE 'qkt%'"}
    ),
}
"""Tags of an experiment: it is of models, and has a view of transfers with these columns."""


def line(uri: str, mlflow: str | Path = "mlflow") -> str:
    """The line for a shell that starts the UI on a local database, without telemetry."""
    return f"{OFF}=true {shlex.quote(str(mlflow))} ui --backend-store-uri {shlex.quote(uri)}"


def address(uri: str, experiment: str | None = None) -> str:
    """The page with the transfers: of a server, or of a local database that ``line`` shows.

    Args:
        uri: of the server or database.
        experiment: its name, the task's; if None, the only one that holds transfers.

    Returns:
        An address on the web. Where the experiment cannot be told, that of the list of experiments.
    """
    base = uri.rstrip("/") if uri.startswith(("http://", "https://")) else LOCAL
    kind = {"workflowType": "machine_learning"}
    found = _experiment(uri, experiment)
    if found is None:
        return f"{base}/#/experiments?{urlencode(kind)}"
    return f"{base}/#/experiments/{found}/runs?{urlencode({**kind, 'viewStateShareKey': _VIEW})}"


def _experiment(uri: str, name: str | None) -> str | None:
    """The id of an experiment that has the view; None if it cannot be told which, or nobody answers."""
    from mlflow import MlflowClient

    from clinical_qkt.review.tracking import store

    if uri.startswith(store.SQLITE) and not store.database_file(uri).is_file():
        return None  # MLflow would make one
    try:
        with store.told(uri):
            store.require_awake(uri)
            experiments = MlflowClient(uri, uri).search_experiments()
    except OutputError:
        return None  # an address is no reason to stop
    ours = [e for e in experiments if EXPERIMENT.items() <= e.tags.items() and name in (None, e.name)]
    return str(ours[0].experiment_id) if len(ours) == 1 else None
