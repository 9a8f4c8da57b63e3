"""The two phases of a transfer: distillation from the relevant teachers, refinement of the head.

What comes before (teachers, masks, the choice of the relevant ones) is in ``teachers``, their answers on the
student's images in ``targets``.

QKT (Alballa et al., ICLR 2025, arXiv 2504.09205) with our additions, which docs/explanation/method.md keeps
apart from the paper. Nothing here reads a queried image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from ignite.handlers import ProgressBar
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor, nn

from clinical_qkt import masks
from clinical_qkt.budget import BudgetFit, fit_query_bias
from clinical_qkt.errors import PackageError
from clinical_qkt.handlers import Progress, ValidationCurves
from clinical_qkt.heads import Head
from clinical_qkt.losses import Divergence, TransferLoss
from clinical_qkt.packages.networks import find_head
from clinical_qkt.packages.store import Model
from clinical_qkt.targets import Answers, Images, answer, labels_of
from clinical_qkt.teachers import Start
from clinical_qkt.training import SecondHead, prepare_batch, train
from clinical_qkt.values import Strict


class TransferSettings(Strict):
    """Every choice of the method; the section ``settings`` of a bundle's ``transfer.yaml``.

    Attributes:
        variant: a name for this set of choices, logged with the results.
        ask: which teachers take part: ``relevant``, those that know a queried class, or ``all``.
        answers: ``joint``: one opinion of all that are asked and the own model (ours); ``each``: one a
            teacher, the divergences from which are averaged; see ``targets.asked``.
        start_from: ``committee``: all models that take part, as one network (ours); ``teacher``: the network
            of the relevant teacher that shares most classes with the student (ours); ``own``: the student's.
        heads: ``one``: the network's own; ``each``: one linear head for each model that takes part, on one
            network's stages, and nothing else is trained (ours); see ``imitation``. ``start_from`` says whose
            network: with ``teacher`` a relevant one's if it lets the budget be kept, else the own.
        teachers_per_class: with ``ask: relevant``, only so many a queried class, those that know most of the
            student's classes; all if None.
        divergence: from the teachers' answers: ``evidence``, ``logit`` (ours), ``kl``, ``reverse_kl``,
            ``balanced`` or ``interpolated``; see ``losses``.
        label_weight, divergence_weight, self_weight: of the cross-entropy, of that, and of keeping the
            student's own earlier logits.
        temperature: of the divergences between softmaxes.
        private_temperature, answer_noise: how far the teachers' answers are softened where a teacher is
            unusually certain, 1 for not at all, and noised, 0 for not at all; see ``targets.veiled``.
        subclass: into how many parts each of a teacher's classes is split along its embedding, as further
            targets of phase 1; 1 for none; see ``subclasses``.
        max_epochs, learning_rate, batch_size: of phase 1; 0 epochs leave it out.
        refine_epochs, refine_learning_rate: of the head's retraining in phase 2.
        reserve: the share of the forgetting budget that is not spent on validation images, because other
            images will not behave exactly alike.
        worst_factor: a single class may lose this many times what is spent on average.
        head: made of answers by statistics: ``linear``, ``quadratic``, ``replay``, or ``auto``: quadratic if
            every queried class came with a covariance, else linear; see ``heads``.
        shrinkage: of a quadratic head's covariances; chosen on own validation images if None.
        mask_statistic, mask_threshold, probes: which score on probes, what a known class reaches at least,
            number of probes; see ``masks``.
    """

    model_config = ConfigDict(frozen=True)

    variant: str = "committee"
    ask: Literal["all", "relevant"] = "all"
    answers: Answers = "joint"
    start_from: Start = "committee"
    heads: Literal["one", "each"] = "one"
    teachers_per_class: int | None = Field(default=None, ge=1)
    divergence: Divergence = "evidence"
    label_weight: float = Field(default=1.0, ge=0)
    divergence_weight: float = Field(default=0.1, ge=0)
    self_weight: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=2.0, gt=0)
    private_temperature: float = Field(default=1.0, ge=1)
    answer_noise: float = Field(default=0.0, ge=0)
    subclass: int = Field(default=1, ge=1, le=8)
    max_epochs: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    batch_size: int = Field(default=64, ge=2)
    refine_epochs: int = Field(default=0, ge=0)
    refine_learning_rate: float = Field(default=1e-2, gt=0)
    reserve: float = Field(default=0.25, ge=0, lt=1)
    worst_factor: float = Field(default=2.5, ge=1)
    head: Head = "auto"
    shrinkage: float | None = Field(default=0.75, ge=0, le=1)
    mask_statistic: masks.Statistic = "peak"
    mask_threshold: float = Field(default=masks.THRESHOLD, gt=0, lt=1)
    probes: int = Field(default=2048, ge=8)

    @model_validator(mode="after")
    def _heads_alone(self) -> TransferSettings:
        if self.heads == "each" and (self.max_epochs or self.refine_epochs or self.start_from == "committee"):
            raise ValueError(
                "heads: 'each' trains nothing else: set 'max_epochs' and 'refine_epochs' to 0, and "
                "'start_from' to 'teacher' or 'own'"
            )
        return self

    @model_validator(mode="after")
    def _nothing_but_answers(self) -> TransferSettings:
        if self.veil != (1, 0) and not (self.trains and self.start_from == "own"):
            raise ValueError(
                "private_temperature and answer_noise protect nothing where the new model holds a teacher's "
                "weights: set 'start_from: own' and train ('max_epochs')"
            )
        return self

    @model_validator(mode="after")
    def _parts_of_a_teachers_classes(self) -> TransferSettings:
        if self.subclass > 1 and not (self.max_epochs and self.answers == "each" and self.divergence_weight):
            raise ValueError(
                "subclass: parts of a class are learnt from each teacher in phase 1: set 'answers: each', "
                "'max_epochs' and 'divergence_weight'"
            )
        if self.subclass > 1 and self.veil != (1, 0):
            raise ValueError("subclass: a teacher's embedding is not veiled: leave out one of the two")
        return self

    @property
    def veil(self) -> tuple[float, float]:
        """What ``targets.veiled`` does to the teachers' answers: temperature and noise."""
        return self.private_temperature, self.answer_noise

    @property
    def trains(self) -> bool:
        """Whether any weight is trained by gradients."""
        return self.max_epochs > 0 or self.refine_epochs > 0

    @property
    def begins_with(self) -> Start:
        """What is gone on with: with ``heads: each`` the network that bears them."""
        return "own" if self.heads == "each" else self.start_from

    @property
    def learns(self) -> bool:
        """Whether anything is learnt from the teachers' answers on training images."""
        return self.trains or self.heads == "each"


def distil(
    network: nn.Module,
    images: Dataset,
    augment: Sequence[Any],
    validation: Images,
    query: Sequence[int],
    settings: TransferSettings,
    seed: int,
    device: torch.device,
    work: Path | None = None,
    handlers: Sequence[Any] = (),
) -> nn.Module:
    """Phase 1: query-focused distillation on the student's own images.

    Args:
        network: the starting point, with a row a class.
        images: with targets, as from ``targets.with_targets``; with ``subclass`` also ``parts``.
        augment: MONAI transforms for the images; the answers stay those to the plain image.
        validation: own images that no gradient sees, for the curves only.
        query: the columns of the queried classes.
        work: folder for checkpoints; none are kept without it.
        handlers: further ignite handlers; ``engine.state.metrics`` holds the curves.
    """
    local = [c for c in range(_head(network).out_features) if c not in set(query)]
    loss = _loss(local, query, settings)
    learner = _with_second_head(network, images.data[0], seed) if settings.subclass > 1 else network
    train(
        learner,
        images.data,
        augment,
        loss,
        max_epochs=settings.max_epochs,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        seed=seed,
        device=device,
        what="phase 1",
        handlers=[Progress(loss), ValidationCurves(validation, local, query, device), *handlers],
        work=work,
    )
    return network.eval()


def retrain_head(
    network: nn.Module,
    images: Dataset,
    query: Sequence[int],
    settings: TransferSettings,
    seed: int,
    device: torch.device,
) -> None:
    """Phase 2: retrain the head on frozen features, ``settings.refine_epochs`` long; in place."""
    if settings.refine_epochs == 0:
        return
    head = _head(network)
    local = [c for c in range(head.out_features) if c not in set(query)]
    seen = head_inputs(network, images.data, device)
    batches = [
        {"image": seen[i], **{k: item[k] for k in ("label", "answers", "own")}}
        for i, item in enumerate(images.data)
    ]
    torch.manual_seed(seed)
    SupervisedTrainer(
        device=device,
        max_epochs=settings.refine_epochs,
        train_data_loader=DataLoader(Dataset(batches), batch_size=256, shuffle=True, num_workers=0),
        network=head,
        optimizer=torch.optim.Adam(head.parameters(), settings.refine_learning_rate),
        loss_function=_loss(local, query, settings),
        prepare_batch=prepare_batch,
        decollate=False,
        train_handlers=[ProgressBar(desc="phase 2", persist=False, disable=None)],
    ).run()


def fit_budget(
    network: nn.Module,
    validation: Images,
    query: Sequence[int],
    before: Tensor,
    budget: float,
    settings: TransferSettings,
    device: torch.device,
) -> BudgetFit:
    """How far the forgetting budget lets the queried classes' biases be raised; nothing is changed.

    Args:
        before: recall of each local class on ``validation`` before, see ``budget.class_recalls``.
        budget: points of retained recall that the site is willing to lose.

    Raises:
        PackageError: the network gives NaN or infinity.
    """
    logits = answer(network, validation, device, what="validation images")
    if not torch.isfinite(logits).all():
        raise PackageError(
            "gives NaN or infinity on this site's images",
            where="the model that was gained",
            fix="take packages out of 'teachers' one at a time, and tell the sending site",
        )
    spend = budget * (1 - settings.reserve)
    return fit_query_bias(logits, labels_of(validation), query, before, spend, spend * settings.worst_factor)


def first_within_budget(models: Iterable[Model], fitted: Callable[[nn.Module], BudgetFit]) -> Model:
    """The first of several models that keeps the forgetting budget with no queried class turned down.

    A bias below zero turns a class down: then the budget is kept at the cost of its recall. If all need that,
    the model that needs it least, on average over the queried classes; if none keeps the budget, the last.

    Args:
        models: at least one.
        fitted: ``fit_budget`` of a network, everything else given.
    """
    best = -math.inf
    for model in models:
        fit = fitted(model.network)
        raised = sum(fit.bias) / len(fit.bias)
        if fit.kept and raised >= 0:
            return model
        if fit.kept and raised > best:
            best, chosen = raised, model
    return model if best == -math.inf else chosen


def spend_budget(
    network: nn.Module,
    validation: Images,
    query: Sequence[int],
    before: Tensor,
    budget: float,
    settings: TransferSettings,
    device: torch.device,
) -> BudgetFit:
    """Phase 2, its end: raise the queried classes' biases as far as ``fit_budget`` says; in place."""
    fit = fit_budget(network, validation, query, before, budget, settings, device)
    head = _head(network)
    with torch.no_grad():
        head.bias[list(query)] += torch.tensor(fit.bias, device=head.bias.device)
    return fit


@torch.no_grad()
def head_inputs(network: nn.Module, images: Images, device: torch.device) -> Tensor:
    """The frozen features: what arrives at the head, ``(N, features)``, on the CPU."""
    caught: list[Tensor] = []
    head = network.get_submodule(find_head(network))
    hook = head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float().cpu()))
    try:
        answer(network, images, device, what="features")
    finally:
        hook.remove()
    return torch.cat(caught)


def _with_second_head(network: nn.Module, item: dict[str, Any], seed: int) -> SecondHead:
    """The network with a head for the parts of each teacher's classes, of which ``item`` tells how many."""
    shape = item["parts"].shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        second = nn.Linear(_head(network).in_features, shape.numel())
    return SecondHead(network, nn.Sequential(second, nn.Unflatten(1, shape)))


def _loss(local: Sequence[int], query: Sequence[int], settings: TransferSettings) -> TransferLoss:
    return TransferLoss(
        local,
        query,
        kind=settings.divergence,
        label_weight=settings.label_weight,
        divergence_weight=settings.divergence_weight,
        self_weight=settings.self_weight,
        temperature=settings.temperature,
    )


def _head(network: nn.Module) -> nn.Linear:
    head = network.get_submodule(find_head(network))
    assert isinstance(head, nn.Linear)
    return head
