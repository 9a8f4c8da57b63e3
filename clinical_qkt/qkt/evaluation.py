"""A transfer's models on the student's own test images: what is logged, and all evidence that comes of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from torch import Tensor, nn

from clinical_qkt.core.errors import QKTError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.evidence import failures
from clinical_qkt.evidence.abstention import abstention
from clinical_qkt.evidence.evaluation import Agreement, Evaluation, Forgetting
from clinical_qkt.evidence.gate import Door
from clinical_qkt.evidence.in_use import compared
from clinical_qkt.evidence.net_benefit import net_benefit
from clinical_qkt.evidence.parts import Abstention, Gate, InUse, NetBenefit, PrecisionRecall, Subgroups
from clinical_qkt.evidence.precision_recall import precision_recall
from clinical_qkt.evidence.subgroups import subgroups
from clinical_qkt.packages.model import CardedNetwork, load_model
from clinical_qkt.qkt.gate import answers, gated
from clinical_qkt.qkt.images import OwnImages
from clinical_qkt.qkt.student import OWN
from clinical_qkt.qkt.teachers import Teacher, require_same_kind
from clinical_qkt.qkt.test_set import TestSet, agreements, few_images, probabilities
from clinical_qkt.review.tracking import registry
from clinical_qkt.review.tracking.tracker import Tracker, evaluation_figures
from clinical_qkt.site.config import Site
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import logits_of

_Facts = tuple[NDArray[Any], NDArray[Any], int, str, float | None, NDArray[Any] | None]


@dataclass(frozen=True)
class Examined:
    """What a model says of the test images, logits ``(N, its classes)`` and what it states for each class,
    ``(N, classes)``; and the summary's part that follows."""

    logits: Tensor
    states: NDArray[Any]
    part: Evaluation


@dataclass(frozen=True)
class Evidence:
    """All that test images show: what the verdict rests on, and what else a board may ask.

    Attributes: as the parts of ``TransferSummary`` of the same names.
    """

    before: Evaluation
    after: Evaluation
    forgetting: Forgetting
    abstention: Abstention
    subgroups: Subgroups | None
    net_benefit: list[NetBenefit]
    precision_recall: list[PrecisionRecall]


@dataclass(frozen=True)
class Evaluating:
    """The test of a transfer's models.

    Attributes:
        site: the student.
        images: its images.
        tested: its test images as they are labelled.
        tracker, tags: where it is logged.
        device: where networks run.
        timed: measures what is done within it.
    """

    site: Site
    images: OwnImages
    tested: TestSet
    tracker: Tracker
    tags: Mapping[str, str]
    device: torch.device
    timed: Callable[[str], AbstractContextManager[None]]

    def before(self, parent: Run) -> Examined:
        """The own model on the test images."""
        return self._examined("before", lambda: self.images.logits([], "test")[OWN], parent)

    def after(self, network: nn.Module, given: InputContract, parent: Run) -> Examined:
        """The new model on the test images.

        Args:
            given: what it takes.
        """

        def ask() -> Tensor:
            return logits_of(network, self.images.prepared("test", given), self.device)

        return self._examined("after", ask, parent)

    def _examined(self, when: str, ask: Callable[[], Tensor], parent: Run) -> Examined:
        with self.timed(when), self.tracker.run(when, self.tags, parent=parent) as child:
            logits = ask()
            states = probabilities(logits, len(self.tested.labels))
            part = self.tested.evaluation(states)
            self.tracker.log(child, evaluation_figures(when, part))
        return Examined(logits, states, part)

    def agreements(self, after: Examined, teachers: Sequence[Teacher]) -> dict[str, Agreement]:
        """Evidence beside the test images of queried classes, where these are few."""
        if not few_images(after.part, self.site.queried.names):
            return {}
        with self.timed("agreement"):
            theirs = self.images.logits(teachers, "test")
            return agreements(after.logits, self.tested.truth, teachers, theirs)

    def evidence(self, before: Examined, after: Examined) -> Evidence:
        """All that test images show.

        Args:
            before, after: the student's own model, and the new one.
        """
        with self.timed("evidence"):
            t = self.tested
            worth = [net_benefit(*facts) for facts in self._by_prevalence(after.states)]
            curves = [precision_recall(*facts) for facts in self._by_prevalence(after.states)]
            return Evidence(
                before=before.part,
                after=after.part,
                forgetting=t.lost(before.states, after.states),
                abstention=abstention(after.states, t.truth, t.query, t.patients),
                subgroups=subgroups(
                    t.groups,
                    t.truth,
                    SINGLE_LABEL.decide(before.states),
                    SINGLE_LABEL.decide(after.states),
                    t.query,
                    t.patients,
                ),
                net_benefit=[part for part in worth if part is not None],
                precision_recall=[part for part in curves if part is not None],
            )

    def in_use(self, after: Examined, task: str, new_weights: str) -> InUse | None:
        """The model that is in use now on the same test images; None if it is the new one, or there is none.

        Where it cannot be had or run, that is said on standard error.

        Args:
            after: the new model's.
            task: the name in the registry.
            new_weights: SHA-256 of its weights.
        """
        with self.timed("in use"), tempfile.TemporaryDirectory() as work:
            try:
                found = registry.held(self.tracker.places(), task, self.site.site, Path(work))
                compared = found and self._compared(*found, after)
                return None if compared and compared.weights_sha256 == new_weights else compared
            except (QKTError, MlflowException, OSError) as e:
                why = e.problem if isinstance(e, QKTError) else type(e).__name__
                print(f"warning: the model in use is not compared with: {why}", file=sys.stderr)
                return None

    def _compared(self, version: str, folder: Path, after: Examined) -> InUse:
        model, t = load_model(folder, self.site.trust), self.tested
        require_same_kind(model.card, self.images.own.card.input)
        images = self.images.prepared("test", model.card.input)
        states = SINGLE_LABEL.probabilities(logits_of(model.network, images, self.device)).numpy()
        return compared(
            states,
            model.card.labels,
            t.truth,
            t.labels,
            t.query,
            SINGLE_LABEL.decide(after.states),
            version=version,
            weights_sha256=model.card.weights_sha256,
            patients=t.patients,
        )

    def write_failures(self, before: Examined, after: Examined) -> None:
        """The wrong answers by local name, in a file that stays at the site."""
        data, t = self.images.data, self.tested
        failures.write(
            self.site.transfer_dir,
            [item["image"] for item in data.items["test"]],
            self.site.data.parent,
            t.truth,
            t.labels.names,
            SINGLE_LABEL.decide(before.states),
            after.states,
            data.patients,
        )

    def _by_prevalence(self, states: NDArray[Any]) -> Iterator[_Facts]:
        """What curves are drawn of: each queried class at the test images' prevalence, and at the site's."""
        t = self.tested
        for q in t.query:
            name = t.labels[q].name
            own = [t.prevalence[name] / 100] if name in t.prevalence else []
            for prevalence in [None, *own]:
                yield states, t.truth, q, name, prevalence, t.patients

    def gate(self, network: nn.Module, start: CardedNetwork, after: Examined) -> tuple[Door, Gate] | None:
        """When the new model says 'none of these', and what that is worth.

        Args:
            network: the new one's.
            start: what the network was before anything was trained.
            after: the new model's.
        """
        training, validation, test = (
            self.images.prepared(section, start.card.input) for section in ("training", "validation", "test")
        )
        with self.timed("gate"):
            return gated(
                network,
                start.card,
                training,
                validation,
                answers(after.logits, test, self.tested.patients),
                self.tested.labels.names,
                self.tested.query,
                self.device,
                seed=self.site.seed,
            )
