"""``evaluation.json`` as one typed model: what ``evaluate`` measures. Its JSON Schema is published.

It lies in configs/schemas/evaluation.json. Keys may be added within a version of the schema.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from clinical_qkt.core.values import Written
from clinical_qkt.evidence.evaluation import Row, Share

SCHEMA: Final = "clinical-qkt/evaluation/1"


class EvaluatedModel(Written):
    """Which model it is."""

    weights_sha256: str
    classes: list[str]


class EvaluationFile(Written):
    """A model on a site's test images."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["clinical-qkt/evaluation/1"] = Field(alias="schema")
    """This schema; its last part is the version."""
    command: Literal["evaluate"]
    """What made it."""
    version: str
    """Of the software."""
    site: str
    model: EvaluatedModel
    """What was measured."""
    per_class: dict[str, Row]
    """By class, in the order of ``model.classes``."""
    recall: Share | None
    """Unweighted mean over all classes; null if one of them has no test image."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data, under the keys of the schema."""
        return self.model_dump(mode="json", by_alias=True)
