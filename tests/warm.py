"""What the server of ``tests.launcher`` has ready before a command's process is forked from it.

Imports, and what libraries find out once a process: together these take longer than most commands.
"""

from __future__ import annotations

import gc
import importlib

MODULES = (
    *("monai.bundle", "clinical_qkt.bundle", "clinical_qkt.research.demo", "clinical_qkt.checking.command"),
    *(
        "mlflow.pyfunc",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
    ),
    *("mlflow.store.artifact.local_artifact_repo", "torch._dynamo", "matplotlib.backends.backend_agg"),
    "tests.cheap",
)


def get_ready() -> None:
    for name in MODULES:
        importlib.import_module(name)

    from mlflow.utils import requirements_utils

    from clinical_qkt.networks.spec import preset
    from clinical_qkt.packages.signing import _library
    from clinical_qkt.review.report.page import _environment

    preset("resnet_small", 3, [28, 28])
    _library()
    requirements_utils._init_packages_to_modules_map()
    _environment().get_template("report.html.j2")


gc.disable()
get_ready()
gc.freeze()  # a command does not look through it, and shares its memory
gc.enable()
