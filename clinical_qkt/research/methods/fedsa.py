"""Federated Selective Aggregation for Knowledge Amalgamation (Xie et al., 2022, arXiv 2207.13309).

Teachers are chosen by what they look at: those whose Grad-CAM saliency is most like the student's. In each
round every chosen teacher trains a copy of the student by its soft targets and its features; the copies'
weights are averaged into the next student.

Ours, since the source has the sites choose for a task that they share: saliency is compared on the student's
images of the classes that both know, and every queried class keeps at least one teacher.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from monai.visualize import GradCAM
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.errors import InputError
from clinical_qkt.networks.spec import NetworkSpec, reshape_head
from clinical_qkt.qkt.losses import masked_kl, restricted_cross_entropy
from clinical_qkt.qkt.targets import aligned, require_finite
from clinical_qkt.qkt.teachers import Teacher, relevant_teachers
from clinical_qkt.research.methods.case import Case, Outcome, TrainingSettings, of_network
from clinical_qkt.research.methods.fedavg import average
from clinical_qkt.research.methods.registry import method
from clinical_qkt.training.inference import head_inputs, labels_of
from clinical_qkt.training.second_head import SecondHead


class Settings(TrainingSettings):
    """
    Attributes:
        max_epochs: of each copy in each round.
        rounds: of training the copies and averaging them.
        keep: so many teachers, more only if a queried class would have none.
        probe_images: so many own images on which saliency is compared.
        weight, temperature: of the divergence from the teacher's soft targets.
        hint_weight: of the distance from the teacher's features.
    """

    max_epochs: int = Field(default=4, ge=1)
    rounds: int = Field(default=2, ge=1)
    keep: int = Field(default=2, ge=1)
    probe_images: int = Field(default=64, ge=1)
    weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=2.0, gt=0)
    hint_weight: float = Field(default=1.0, ge=0)


@method("fedsa", family="fusion")
def run(case: Case, settings: Settings) -> Outcome:
    """Choose teachers by saliency, then rounds of one copy a teacher and their average.

    Raises:
        InputError: a site's network has no convolutional stage whose saliency could be compared, or a class
            has synonyms or parts, of which saliency knows nothing.
    """
    _require_convolutions(case)
    case.require_no_declarations("fedsa")
    relevant = relevant_teachers(case.teachers, case.labels, case.query)
    similarities = {t.site: similarity(case, t, settings.probe_images) for t in relevant}
    chosen = choose(relevant, similarities, case.query, settings.keep)
    network = reshape_head(case.own.network, {c: c for c in case.local}, len(case.labels))
    width = head_inputs(network, [case.training[0]], case.device).shape[1]
    items = {t.site: _items(case, t) for t in chosen}
    # An adaptor belongs to its teacher: it goes on learning from round to round.
    torch.manual_seed(case.seed)
    adaptors = {t.site: nn.Linear(width, len(items[t.site][0]["features"])) for t in chosen}

    def loss(output: tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> Tensor:
        logits, features = output
        return (
            restricted_cross_entropy(logits, targets["label"], case.local)
            + settings.weight * masked_kl(logits, targets["soft_targets"], settings.temperature)
            + settings.hint_weight * F.mse_loss(features, targets["features"])
        )

    for turn in range(settings.rounds):
        copies = []
        for t in chosen:
            hinted = SecondHead(copy.deepcopy(network), adaptors[t.site])
            what = f"round {turn + 1}, {t.site}"
            case.train(hinted, items[t.site], loss, settings, what, seed=case.seed + turn)
            copies.append(hinted.network)
        # In equal parts: every copy has seen the same images.
        network.load_state_dict(average([c.state_dict() for c in copies], [1] * len(copies)))
    return of_network(case, network, chosen)


def _require_convolutions(case: Case) -> None:
    for model in (case.own, *(t.model for t in case.teachers)):
        if isinstance(model.card.network, NetworkSpec) and model.card.network.tokens:
            raise InputError(
                f"the network of '{model.card.site}' ({model.card.network.name}) has no convolutional stages",
                where="method 'fedsa'",
                fix="leave the method out, or give all sites convolutional networks",
            )


def similarity(case: Case, teacher: Teacher, count: int) -> float:
    """The mean cosine similarity of the student's and a teacher's saliency on the student's images.

    Args:
        count: so many images, drawn at random, of the classes that both know; without any it is 0.
    """
    rows = {to: source for source, to in teacher.columns.items() if teacher.known[source]}
    labels = labels_of(case.training)
    shared = torch.tensor(sorted(set(rows) & set(case.local)), dtype=torch.int64)
    usable = torch.isin(labels, shared).nonzero().flatten()
    if not len(usable):
        return 0.0
    drawn = usable[torch.randperm(len(usable), generator=torch.Generator().manual_seed(case.seed))[:count]]
    pictures, of_class = [case.training[int(i)] for i in drawn], labels[drawn]
    others = torch.tensor([rows[int(c)] for c in of_class])
    maps = []
    for model, rows_of in ((case.own, of_class), (teacher.model, others)):
        seen = case.view(pictures, model.card.input)
        images = torch.stack([torch.as_tensor(seen[i]["image"]) for i in range(len(seen))])
        maps.append(saliency(model.network, images, rows_of, case.device))
    return cosine(*maps)


def saliency(network: nn.Module, images: Tensor, classes: Tensor, device: torch.device) -> Tensor:
    """Grad-CAM of each image for its class (Selvaraju et al., arXiv 1610.02391): ``(B, 1, *spatial)``."""
    network = copy.deepcopy(network).to(device).eval()  # hooks and gradients stay with the copy
    module: Any
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # would change what the hook on the layer before has to see
    network.requires_grad_(True)
    images = images.clone().requires_grad_(True)  # or the hook on a first layer warns
    cam = GradCAM(nn_module=network, target_layers=last_stage(network))
    maps: dict[int, Tensor] = {}
    for c in classes.unique().tolist():
        where = (classes == c).nonzero().flatten()
        found = cam.compute_map(images[where].to(device), class_idx=c).detach().cpu()
        maps |= dict(zip(where.tolist(), found, strict=True))
    return torch.stack([maps[i] for i in range(len(images))])


def last_stage(network: nn.Module) -> str:
    """The name of the last convolutional stage: the network's child that holds its last convolution.

    Not that convolution itself: the last one that a residual block lists is its shortcut.
    """
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Conv3d)]
    return layers[-1].partition(".")[0]


def cosine(own: Tensor, theirs: Tensor) -> float:
    """The mean cosine similarity of maps, theirs resized to ours.

    Images on which the student's own map is empty do not count: there is nothing to be like.
    """
    if theirs.shape[2:] != own.shape[2:]:
        theirs = F.interpolate(theirs, own.shape[2:], mode="bilinear" if own.ndim == 4 else "trilinear")
    counts = own.flatten(1).norm(dim=1) > 0
    if not counts.any():
        return 0.0
    a, b = F.normalize(own.flatten(1)[counts]), F.normalize(theirs.flatten(1)[counts])
    return float((a * b).sum(1).mean())


def choose(
    relevant: Sequence[Teacher], similarities: dict[str, float], query: Sequence[int], keep: int
) -> list[Teacher]:
    """The most similar teachers, and for each queried class that none of them knows its most similar one."""
    ranked = sorted(relevant, key=lambda t: -similarities[t.site])
    chosen = ranked[:keep]
    for q in query:
        if not any(q in t.known_columns for t in chosen):
            chosen.append(next(t for t in ranked if q in t.known_columns))
    return chosen


def _items(case: Case, teacher: Teacher) -> list[dict[str, Tensor]]:
    """The student's images with a teacher's soft targets, and its features scaled to spread 1 each."""
    require_finite(case.logits[teacher.site], teacher.site)
    soft_targets = aligned(case.logits[teacher.site], teacher.columns, teacher.known, len(case.labels))
    features = case.features(teacher.model)
    features = (features - features.mean(0)) / features.std(0, correction=0).clamp_min(1e-6)
    targets = {"label": labels_of(case.training), "soft_targets": soft_targets, "features": features}
    return [
        {"image": case.training[i]["image"], **{k: v[i] for k, v in targets.items()}}
        for i in range(len(case.training))
    ]
