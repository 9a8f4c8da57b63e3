"""Nothing is told to the makers of libraries: MLflow's telemetry is off unless somebody turned it on."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

OFF = "MLFLOW_DISABLE_TELEMETRY"
"""MLflow's own variable; see https://mlflow.org/docs/latest/community/usage-tracking/."""
_ASKED = {OFF: "true", "DO_NOT_TRACK": "true"}


def no_telemetry(environment: MutableMapping[str, str] = os.environ) -> None:
    """Turn MLflow's telemetry off, here and in the processes that are started from here.

    Whoever set ``MLFLOW_DISABLE_TELEMETRY``, to whatever, is left alone. MONAI's launcher imports MLflow
    before it reads a config, so that it may have made its client already; that is dropped.
    """
    if OFF in environment:
        return
    for name, value in _ASKED.items():
        environment.setdefault(name, value)
    if "mlflow.telemetry" in sys.modules:
        sys.modules["mlflow.telemetry"].set_telemetry_client()
