"""Heads that imitate: what other models say of the student's images, learnt on one network's stages.

One network of the usual size speaks for all: a *body*, whose weights stay as they are, and on its pooled
stages a linear head for every other model, the student's own among them where the body is a teacher's.
Together they answer with their joint opinion, see ``packages.multihead``. It is the paper's second phase (a
frozen feature extractor; a head from local labels, the student's earlier logits and the teachers') with a
head for each model. Where hospitals froze one pretrained network nothing has to be imitated: all heads fit on
the student's network as they are, see ``as_far_as_needed``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.folds import CLOSED_FORM, folds_of
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace, align
from clinical_qkt.networks.extractor import Pooling, PoolingSpec, describe
from clinical_qkt.networks.joint_opinion import merged
from clinical_qkt.networks.multihead import MAX_COLUMNS, MAX_HEADS, MultiHead, MultiHeadSpec
from clinical_qkt.networks.spec import NetworkSpec, reshape_head
from clinical_qkt.packages.derived import DerivedModel, derived
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.one_body import one_body
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import Student
from clinical_qkt.qkt.targets import require_finite
from clinical_qkt.qkt.teachers import Start, Teacher, all_classes, possible_starts
from clinical_qkt.training.inference import Images, labels_of

RIDGE = 1e-3
"""Of the regression, in units of a standardised feature's variance."""
LABEL_SHARE = 0.5
"""Of the labels in what the head for the student's own model learns; the rest are its earlier logits."""


@dataclass(frozen=True, eq=False)
class Imitation:
    """One network that speaks for all.

    Attributes:
        model: its card's ``site`` tells whose network the body is.
        cross_fitted: ``(training images, C)`` logits of such networks whose heads were fitted without the
            image; None without ``Student.own_held_out``.
        compared: the own model's logits that these are held against. On a teacher's body nothing is by the
            networks without a fold, which know less than the own model: what they lose less would count as
            kept. So there it is what the own model says of images that it was trained on, which errs on the
            safe side.
    """

    model: DerivedModel
    cross_fitted: Tensor | None
    compared: Tensor | None


def as_far_as_needed(
    settings: TransferSettings, student: Student, teachers: Sequence[Teacher]
) -> TransferSettings:
    """The settings, or those of a committee where the models differ in their heads alone.

    Such a committee is one network with a head for each model, too, and the heads are the models' own. Where
    the new model shall hold no teacher's weights (``start_from: own``), they are imitated all the same.
    """
    models = [student.own, *(t.model for t in teachers)]
    if settings.heads == "one" or settings.start_from == "own" or not one_body(models):
        return settings
    return settings.model_copy(update={"heads": "one", "start_from": "committee"})


def imitations(
    student: Student,
    prepared: Callable[[InputContract], Images],
    teachers: Sequence[Teacher],
    logits: Mapping[str, Tensor],
    own_logits: Tensor,
    start_from: Start,
    patients: NDArray[Any] | None = None,
) -> Iterator[Imitation]:
    """Networks that speak for all: first those whose body is a relevant teacher's, last the own one.

    A teacher's body has seen the queried class and answers for it itself. The own body keeps the student's
    own logits to the letter.

    Args:
        prepared: the student's training images as a contract asks for them: a teacher's body may know another
            look.
        teachers: those that are imitated.
        logits: each teacher's logits on the training images by site, ``(N, its classes)``.
        own_logits: the own model's, ``(N, local)``.
        start_from: ``own``: no teacher's network may be the body.
        patients: ``(N,)`` numbers that tell whose image it is.

    Raises:
        PackageError: a teacher's logits hold NaN or infinity.
        InputError: there are too many models or classes; the own model is not one that a site trained itself.
    """
    own, labels = student.own, student.labels
    truth = labels_of(prepared(own.card.input))
    folds = folds_of(truth, patients, count=CLOSED_FORM, seed=student.seed)
    everyone = all_classes(labels, teachers)
    _require_possible(own, teachers, everyone)
    said = [(own.card.site, taught(own_logits, truth), list(range(own_logits.shape[1])))]
    for teacher in teachers:
        require_finite(logits[teacher.site], teacher.site)
        if rows := teacher.known_rows(everyone):
            said.append((teacher.site, *merged(logits[teacher.site][:, list(rows)], list(rows.values()))))
    unseen = student.own_held_out
    own_rows = sorted(align(own.card.labels, labels).items(), key=lambda row: row[1])
    bodies = [(own, dict(own_rows))]
    if start_from != "own":
        starts = [(t.model, t.known_rows(everyone)) for t in possible_starts(own, teachers, student.query)]
        bodies = [(m, rows) for m, rows in starts if len(set(rows.values())) == len(rows)] + bodies
    for body, rows in bodies:
        pooling, pooled = _seen_by(body, rows, student, prepared(body.card.input))
        heads = [(site, logits, columns) for site, logits, columns in said if site != body.card.site]
        spec = MultiHeadSpec(
            body=pooling.spec,
            columns=list(rows.values()),
            heads=[columns for *_, columns in heads],
            own=0 if body is own else 1,
            width=len(everyone),
        )
        network = MultiHead(spec, pooling, len(labels)).eval()
        fit(network.heads, pooled, [logits for _, logits, _ in heads])
        cross_fitted = None
        if unseen is not None:
            spoken = (unseen if body is own else logits[body.card.site])[:, list(rows)]
            wanted = [logits for _, logits, _ in heads]
            cross_fitted = _cross_fitted(network, pooled, wanted, spoken, folds)
        cards = [own.card, *(t.model.card for t in teachers)]
        about = {
            "site": body.card.site,
            "network": spec,
            "label_space": labels.plain,
            "input": body.card.input,
        }
        compared = unseen if body is own else own_logits
        yield Imitation(derived(own.card, network, cards, **about), cross_fitted, compared)


def taught(own: Tensor, labels: Tensor) -> Tensor:
    """What the head for the student's own model learns: its logits and the labels.

    Args:
        own: ``(N, local)`` logits.
        labels: ``(N,)``; of an image of a queried class the own model's logits stay as it is.

    Returns:
        ``(N, local)`` log-probabilities, none below that of one in ten thousand.
    """
    share = LABEL_SHARE * (labels < own.shape[1]).float()[:, None]
    truth = F.one_hot(labels.clamp_max(own.shape[1] - 1), own.shape[1])
    return ((1 - share) * own.softmax(1) + share * truth).clamp_min(1e-4).log()


@torch.no_grad()
def fit(heads: nn.Linear, pooled: Tensor, said: Sequence[Tensor]) -> None:
    """Ridge regression of each model's logits, centred within a model, on standardised features; in place.

    Args:
        heads: takes the features as they are; one row for each column of ``said``.
        pooled: ``(V N, D)``, V views of each image one after the other.
        said: ``(N, …)`` logits of each model.
    """
    centred = torch.cat([logits - logits.mean(1, keepdim=True) for logits in said], 1).double()
    wanted = centred.repeat(len(pooled) // len(centred), 1)
    mean, scale = pooled.mean(0), pooled.std(0)
    scale = scale.clamp_min(1e-3 * float(scale.median()) + 1e-12)
    x, offset = (pooled - mean) / scale, wanted.mean(0)
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, x.T @ (wanted - offset)) / scale[:, None]
    heads.weight.copy_(weight.T)
    heads.bias.copy_(offset - mean @ weight)


@torch.no_grad()
def _cross_fitted(
    network: MultiHead, pooled: Tensor, said: Sequence[Tensor], spoken: Tensor, folds: NDArray[np.int64]
) -> Tensor | None:
    """``(N, C)``: the answer of each image by heads that were fitted without its fold.

    Args:
        pooled: ``(V N, D)``; of an image its plain view answers, the first.
        spoken: ``(N, the body's classes)``.
        folds: ``(N,)``; None is answered if there is a single one.
    """
    if not folds.any():
        return None
    views, answers = pooled.unflatten(0, (-1, len(spoken))), torch.zeros(len(spoken), len(network.head.bias))
    for fold in np.unique(folds):
        mine, others = (torch.from_numpy(np.flatnonzero(k)) for k in (folds == fold, folds != fold))
        heads = copy.deepcopy(network.heads)
        fit(heads, views[:, others].flatten(0, 1), [logits[others] for logits in said])
        answers[mine] = network.answer(spoken[mine], heads(views[0, mine].float()))
    return answers


def _seen_by(
    body: Model, rows: Mapping[int, int], student: Student, images: Images
) -> tuple[Pooling, Tensor]:
    """The body with a row for each of ``rows``, and what it makes of images and their views.

    The logits that are imitated stay those to the plain image.
    """
    assert isinstance(body.card.network, NetworkSpec)
    network = reshape_head(body.network, dict(enumerate(rows)), len(rows))
    pooling = Pooling(_described(network, body.card.network, body.card.input), network)
    return pooling, student.in_views(pooling, images)


def _described(network: nn.Module, spec: NetworkSpec, given: InputContract) -> PoolingSpec:
    """All stages of a network; the early ones alone, where these come to too many numbers."""
    try:
        found = describe(network, spec, spec.stages, given)
    except InputError:
        found = describe(network, spec, spec.early_depths, given)
    return PoolingSpec(network=spec, depths=found.depths, pooled=found.pooled)


def _require_possible(own: Model, teachers: Sequence[Teacher], everyone: LabelSpace) -> None:
    if not isinstance(own.card.network, NetworkSpec):
        raise InputError(
            "is made of several models or of statistics, and cannot bear heads for others",
            where=str(own.folder),
            fix="name the model that the site trained itself under 'model'",
        )
    if len(teachers) >= MAX_HEADS or len(everyone) > MAX_COLUMNS:
        raise InputError(
            f"{1 + len(teachers)} models over {len(everyone)} classes are too many to be imitated",
            where="teachers",
            fix=f"list fewer than {MAX_HEADS} with at most {MAX_COLUMNS} classes, or ask only the relevant",
        )
