"""A stage whose keys and values are right; what its config says can be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from clinical_qkt.bundle import config_keys
from clinical_qkt.core.errors import QKTError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.packages.model import Model, load_model
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import Launch


class Stage:
    """A stage whose keys and values are right; what its config says can be asked for.

    Args:
        launch: what would be run.

    Raises:
        QKTError: a key or a value is wrong.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        files = [str(f) for f in launch.files]
        self.workflow = ConfigWorkflow(files, logging_file=False, workflow_type=None, **launch.overrides)
        self.site: Site = config_keys.check(self.workflow)
        self.workflow.parser["checked"] = self.site  # for expressions, as no stage is run that checks it
        self.command: str = self.workflow.parser["command"]

    def has(self, key: str) -> bool:
        """Whether the config has a key."""
        return key in self.workflow.parser

    def value(self, key: str) -> Any:
        """A value of the config, as the stage will find it."""
        return self.workflow.parser.get_parsed_content(key)

    def worked_out(self, expression: str) -> Any:
        """What an expression of the config gives."""
        self.workflow.parser["_asked_for"] = f"${expression}"
        self.workflow.parser.parse(reset=True)
        return self.value("_asked_for")

    def model(self) -> Model | None:
        """The model that the stage starts from; None if it makes the first one.

        Raises:
            QKTError: it is refused, or was trained for other classes.
        """
        if not self.has("model"):
            return None
        folder = Path(self.value("model"))
        model = load_model(folder, self.site.trust)
        if self.command in ("query", "transfer"):
            self.site.require_classes(model.card.labels)
        return model

    def contract(self) -> InputContract | None:
        """How images are prepared; None where the model cannot tell.

        Raises:
            InputError: the section ``input`` is wrong.
        """
        if self.command not in ("evaluate", "inference"):
            return self.value("contract")
        try:
            model = self.model()
        except QKTError:  # told elsewhere
            return None
        return model.card.input if model else None
