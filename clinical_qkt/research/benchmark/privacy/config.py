"""What the privacy benchmark's YAML file may say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import Field, ValidationError, model_validator

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.refusals import sentences
from clinical_qkt.core.values import Strict
from clinical_qkt.research.benchmark.config import BenchmarkConfig, Scenario
from clinical_qkt.research.methods.requested import RequestSettings
from clinical_qkt.research.methods.statistics import Settings as StatisticsSettings


class PrivateTrainingSettings(Strict):
    """Training with differential privacy at every site; see ``training.dp_sgd``. An image is the unit.

    Attributes:
        learning_rate, batch_size, max_epochs: in place of the scenario's own.
    """

    epsilon: float = Field(gt=0)
    delta: float = Field(default=1e-5, gt=0, lt=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=0.01, gt=0)
    batch_size: int = Field(default=512, ge=2)
    max_epochs: int = Field(default=40, ge=1)


class AttackedScenario(Scenario):
    """A scenario with its sites' training.

    Attributes:
        private: how the sites train with differential privacy; None: they train without.
    """

    private: PrivateTrainingSettings | None = None


class Part(Strict):
    """One scenario's attacks.

    Attributes:
        title: of its tables.
        shadow_models: of each attacked site; even. 0: the loss threshold alone.
        packages: how many sites' packages are attacked, the first ones; all if None.
        transfers: methods whose students are attacked, and whose query recall is measured.
        queries: whose query recall is measured.
        attacked_queries: whose students are attacked, the first ones.
        shadow_students: also with the attacks that need the relevant teachers' shadow models.
        shadow_responses: shadow students of a student that is made of responses; even. They cost no training.
        responses: methods of the statistics' family whose responses to ``queries`` are attacked themselves.
        draws: of the noise of each private response.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"answers": "responses", "shadow_answers": "shadow_responses"}

    title: str
    scenario: AttackedScenario
    shadow_models: int = Field(default=8, ge=0, le=256, multiple_of=2)
    packages: int | None = Field(default=None, ge=1)
    transfers: list[str] = Field(default=[])
    queries: int = Field(default=8, ge=0)
    attacked_queries: int = Field(default=4, ge=0)
    shadow_students: bool = True
    shadow_responses: int = Field(default=64, ge=4, le=1024, multiple_of=2)
    responses: list[str] = Field(default=[])
    draws: int = Field(default=16, ge=1)


class PrivacyConfig(Strict):
    """A privacy benchmark.

    Attributes:
        name: of its results.
        data: as for ``clinical-qkt benchmark --data``; phantoms if None.
        methods: transfers by name; ``method`` names the module if the name differs from it.
        masks: whether it is measured what knowledge masks tell.
        randomised_response: the epsilons at which masks are told.
    """

    name: str
    data: Path | None = None
    seeds: list[int] = Field(default=[3], min_length=1)
    forgetting_budget: float = Field(default=2.0, ge=0, le=100)
    methods: dict[str, dict[str, Any]] = Field(default={})
    parts: list[Part] = Field(min_length=1)
    masks: bool = True
    randomised_response: list[float] = Field(default=[0.5, 1.0, 2.0, 4.0])

    @model_validator(mode="after")
    def _consistent(self) -> PrivacyConfig:
        names = [part.scenario.name for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("parts: two scenarios have the same name")
        for part in self.parts:
            self.comparison(part)
            for label in (*part.transfers, *part.responses):
                if label not in self.methods:
                    raise ValueError(
                        f"transfers, responses: no method '{label}'; {one_of(label, list(self.methods))}"
                    )
            asks = {m: isinstance(self.settings(part, m), RequestSettings) for m in self.methods}
            for label in part.responses:
                if not asks[label]:
                    raise ValueError(f"responses: '{label}' is a method without responses")
            for label in part.transfers:
                if asks[label] and not self.by_responses(part, label):
                    raise ValueError(f"transfers: there is no attack on students of '{label}'")
        return self

    def by_responses(self, part: Part, label: str) -> bool:
        """Whether a method is ``statistics``, whose students are made of responses alone."""
        return isinstance(self.settings(part, label), StatisticsSettings)

    def settings(self, part: Part, label: str) -> Any:
        """The validated settings of one method."""
        return self.comparison(part).settings(label)[1]

    def comparison(self, part: Part) -> BenchmarkConfig:
        """The same as a comparison of methods takes it, for its rows of query recall."""
        return BenchmarkConfig(
            name=self.name,
            data=self.data,
            seeds=self.seeds,
            queries=max(1, part.queries),
            forgetting_budget=self.forgetting_budget,
            scenarios=[part.scenario],
            methods=self.methods or {"local": {}},
        )


def read_privacy_config(path: Path, data: Path | None = None) -> PrivacyConfig:
    """Read and check the config.

    Raises:
        InputError: all problems at once, each with its field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as e:
        raise InputError(
            f"cannot be read as YAML ({type(e).__name__})",
            where=str(path),
            fix="name a file such as configs/benchmarks/privacy.yaml",
        ) from None
    try:
        return PrivacyConfig.model_validate({**(content or {}), **({"data": data} if data else {})})
    except ValidationError as e:
        raise InputError("; ".join(sentences(e)), where=str(path), fix="correct the fields named") from None
