"""Adaptive knowledge amalgamation: component networks from selected teachers, then a target from those.

Shen et al., "Customizing Student Networks From Heterogeneous Teachers via Adaptive Knowledge Amalgamation",
ICCV 2019, arXiv 1908.07121. Two steps:

1. The teachers are grouped by sub-task, and each group makes a component network. On each image it learns
   from one teacher alone, the one whose answer has the lowest entropy: soft targets, and features by way of
   a learned linear adaptor.
2. The target network learns the soft targets and the features of all component networks.

Sub-tasks here: one for the student's local classes, for which its own model is a teacher too, and one for
each queried class, to be told from the local classes. As in the paper no label is used. Unlike in the paper
the networks start from the student's weights, and only the features at the head are matched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.spec import linear_head, reshape_head
from clinical_qkt.qkt.targets import aligned
from clinical_qkt.qkt.teachers import relevant_teachers
from clinical_qkt.research.methods.case import Case, Outcome, TrainingSettings, of_network
from clinical_qkt.research.methods.registry import method
from clinical_qkt.training.inference import head_inputs, logits_of

OWN = ""  # in place of a site's name


class Settings(TrainingSettings):
    """``max_epochs`` is the target network's.

    Attributes:
        component_epochs: of each component network.
        feature_weight: of the features beside the soft targets.
        temperature: of the soft targets.
    """

    component_epochs: int = Field(default=4, ge=1)
    feature_weight: float = Field(default=0.1, ge=0)
    temperature: float = Field(default=2.0, gt=0)


@dataclass(frozen=True)
class Source:
    """A teacher's soft targets on the student's images.

    Attributes:
        soft_targets: ``(N, student's classes)``, aligned, NaN where it does not know the class.
        ambiguity: ``(N,)``, see ``ambiguity``.
        features: ``(N, F)``, what arrives at its head.
    """

    site: str
    soft_targets: Tensor
    ambiguity: Tensor
    features: Tensor

    def knows(self, columns: Sequence[int]) -> list[int]:
        return [c for c in columns if not torch.isnan(self.soft_targets[0, c])]


@method("amalgamation", family="fusion")
def run(case: Case, settings: Settings) -> Outcome:
    """Make the component networks, then the target network.

    Raises:
        QueryError: no teacher knows a queried class.
    """
    relevant_teachers(case.teachers, case.labels, case.query)
    sources = _sources(case)
    tasks = [case.local, *([*case.local, q] for q in case.query)]
    soft_targets, features, used = [], [], set()
    for number, task in enumerate(tasks):
        asked = None if number == 0 else task[-1]
        group = teachers_of(sources, case.local, asked)
        used |= {s.site for s in group}
        name = "local classes" if asked is None else case.labels[asked].name
        component = _component(case, settings, group, task, f"component: {name}")
        said = logits_of(component, case.training, case.device)
        # A component may teach the classes that it was taught itself.
        taught = {c for s in group for c in s.knows(task)}
        said[:, [c for c in range(len(case.labels)) if c not in taught]] = torch.nan
        soft_targets.append(said)
        features.append(unit_spread(head_inputs(component, case.training, case.device)))
    targets = {"soft_targets": torch.stack(soft_targets, 1), "features": torch.stack(features, 1)}
    target = _learn(
        case, settings, targets, [features[0].shape[1]] * len(tasks), settings.max_epochs, "target"
    )
    return of_network(case, target, [t for t in case.teachers if t.site in used])


def ambiguity(logits: Tensor) -> Tensor:
    """Entropy of a teacher's prediction over all its own classes, as a share of the highest possible.

    A teacher of a single class is never in doubt, which says nothing: it counts as most ambiguous.

    Returns:
        ``(N,)`` in ``[0, 1]``.
    """
    classes = logits.shape[1]
    if classes == 1:
        return torch.ones(len(logits))
    return torch.distributions.Categorical(logits=logits).entropy() / math.log(classes)


def select(group: Sequence[Source]) -> Tensor:
    """Selective learning: which teacher to learn from, image by image, ``(N,)`` positions in the group."""
    return torch.stack([s.ambiguity for s in group]).argmin(0)


def teachers_of(sources: Sequence[Source], local: Sequence[int], asked: int | None) -> list[Source]:
    """The teachers that know a sub-task: a queried class, or the local ones if none is asked for.

    Soft targets need two classes: teachers that know just one of the sub-task's are left out, unless there
    are no others.
    """
    if asked is None:
        return [s for s in sources if len(s.knows(local)) > 1 or s.site == OWN]
    holders = [s for s in sources if s.knows([asked])]
    return [s for s in holders if s.knows(local)] or holders


def soft_target_loss(logits: Tensor, soft_targets: Tensor, temperature: float) -> Tensor:
    """KL divergence from one teacher an image, over the classes which that image's teacher knows.

    Args:
        logits, soft_targets: ``(B, C)``; the latter NaN where the teacher does not know the class.
    """
    unknown = torch.isnan(soft_targets)
    student, teacher = (
        F.log_softmax(z.float().masked_fill(unknown, -1e4) / temperature, 1) for z in (logits, soft_targets)
    )
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def unit_spread(features: Tensor) -> Tensor:
    """Features on one scale, whatever the network, so that one weight suits all."""
    return features / features.std().clamp_min(1e-6)


class WithFeatures(nn.Module):
    """A network with one adaptor for each of its teachers; gives ``(logits, what arrives at the head)``."""

    def __init__(self, network: nn.Module, widths: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        head = linear_head(network)
        self.adaptors = nn.ModuleList(nn.Linear(head.in_features, width) for width in widths)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        caught: list[Tensor] = []
        with watching(lambda _, inputs, __: caught.append(inputs[0]), linear_head(self.network)):
            logits = self.network(images)
        return logits, caught[0]


def _sources(case: Case) -> list[Source]:
    """The student's own model and all teachers."""
    own_columns, everything = dict(enumerate(case.local)), [True] * len(case.local)
    given = [(OWN, case.own, case.own_logits, own_columns, everything)]
    given += [(t.site, t.model, case.logits[t.site], t.columns, t.known) for t in case.teachers]
    return [
        Source(
            site,
            aligned(logits, columns, known, len(case.labels)),
            ambiguity(logits),
            unit_spread(case.features(model)),
        )
        for site, model, logits, columns, known in given
    ]


def _component(
    case: Case, settings: Settings, group: Sequence[Source], task: Sequence[int], what: str
) -> nn.Module:
    """A component network: on each image it learns from the least ambiguous teacher of its group."""
    chosen, n = select(group), torch.arange(len(case.training))
    widths = [s.features.shape[1] for s in group]
    soft_targets = torch.stack([s.soft_targets for s in group])[chosen, n]
    soft_targets[:, [c for c in range(len(case.labels)) if c not in task]] = torch.nan
    features = torch.stack([F.pad(s.features, (0, max(widths) - s.features.shape[1])) for s in group])
    targets = {
        "soft_targets": soft_targets[:, None],
        "features": features[chosen, n][:, None],
        "chosen": chosen,
    }
    return _learn(case, settings, targets, widths, settings.component_epochs, what)


def _learn(
    case: Case, settings: Settings, targets: dict[str, Tensor], widths: Sequence[int], epochs: int, what: str
) -> nn.Module:
    """Train a network of the student's architecture on soft targets and features, without labels.

    Args:
        targets: ``soft_targets`` ``(N, T, C)``, ``features`` ``(N, T, F)``; ``chosen`` ``(N,)``, the adaptor
            for each image, if T is 1; without it the adaptors are for the T in turn.
        widths: of the features of each adaptor's teacher.
    """
    torch.manual_seed(case.seed)  # the adaptors' first weights
    rows = {column: row for row, column in enumerate(case.local)}
    learner = WithFeatures(reshape_head(case.own.network, rows, len(case.labels)), widths)
    items: list[dict[str, Any]] = [
        {"image": case.training[i]["image"], **{k: v[i] for k, v in targets.items()}}
        for i in range(len(case.training))
    ]
    loss = _loss(learner.adaptors, widths, settings)
    case.train(learner, items, loss, settings, what, max_epochs=epochs)
    return learner.network


def _loss(
    adaptors: nn.ModuleList, widths: Sequence[int], settings: Settings
) -> Callable[[tuple[Tensor, Tensor], dict[str, Tensor]], Tensor]:
    def loss(output: tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> Tensor:
        logits, seen = output
        soft_targets, features = targets["soft_targets"], targets["features"]
        total = torch.stack(
            [
                soft_target_loss(logits, soft_targets[:, t], settings.temperature)
                for t in range(soft_targets.shape[1])
            ]
        ).sum()
        chosen = targets.get("chosen")
        for k, (adaptor, width) in enumerate(zip(adaptors, widths, strict=True)):
            wanted = features[:, 0 if chosen is not None else k, :width]
            mine = torch.ones_like(seen[:, 0], dtype=torch.bool) if chosen is None else chosen == k
            if mine.any():
                # Each image counts once, so that a group's loss does not grow with its teachers.
                away = (adaptor(seen[mine]) - wanted[mine]).square().mean(1).sum() / len(seen)
                total = total + settings.feature_weight * away
        return total

    return loss
