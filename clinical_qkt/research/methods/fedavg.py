"""Averaging of weights over rounds: FedAvg and its kin, what a site would do instead if all could meet.

FedAvg: McMahan et al., AISTATS 2017, arXiv 1602.05629. FedProx: Li et al., MLSys 2020, arXiv 1812.06127.
Each round the global network goes to every site, is trained there on the site's own labelled images, and
comes back; the new one is the average, weighted by numbers of images. So unlike the other methods these need
every site's images, round by round, and one architecture.

With ``keep`` a site's batch norms stay its own, for sites whose images look different: all of them in FedBN
(Li et al., ICLR 2021, arXiv 2102.07623), their means and variances alone in SiloBN (Andreux et al., 2020,
arXiv 2008.07424). The student's model is then the average with the student's own batch norms.

Where the sites froze one pretrained network and train its head, the head is what is trained and averaged.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.core.files import fingerprint, write_whole
from clinical_qkt.data.label_space import LabelSpace, align
from clinical_qkt.networks.spec import linear_head
from clinical_qkt.research.methods.adabn import require_batch_norm
from clinical_qkt.research.methods.case import Case, Member, Outcome, TrainingSettings
from clinical_qkt.research.methods.registry import method
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Images, logits_of

Weights = dict[str, Tensor]
Keep = Literal["none", "norms", "norm_statistics"]


class Settings(TrainingSettings):
    """``max_epochs`` is not used: training lasts ``rounds`` times ``local_epochs``.

    Attributes:
        rounds: how often weights are averaged.
        local_epochs: epochs at each site in each round.
        proximal: FedProx's μ, how strongly a site is held to the global weights; 0 is FedAvg.
        keep: what of its batch norms stays at each site: ``norms``, all; ``norm_statistics``, means and
            variances.
    """

    rounds: int = Field(default=10, ge=1)
    local_epochs: int = Field(default=1, ge=1)
    proximal: float = Field(default=0.0, ge=0)
    # Rows and rounds that were made before there was this go by the names that they have.
    keep: Keep = Field(default="none", exclude_if=lambda keep: keep == "none")


@dataclass(frozen=True)
class Progress:
    """The global weights after so many rounds, which took so long.

    Attributes:
        kept: what stayed at each site, by its name.
    """

    weights: Weights
    rounds: int = 0
    seconds: float = 0.0
    kept: dict[str, Weights] = field(default_factory=dict)


@method("fedavg", family="fusion")
def run(case: Case, settings: Settings) -> Outcome:
    """Train one global network over all sites' classes, once for all queries of the federation.

    Raises:
        InputError: the sites' networks differ, a class has synonyms or parts, the sites' images cannot be
            had, or there is no batch norm to be kept.
        QueryError: no site has a queried class.
    """
    name = "fedprox" if settings.proximal else "fedavg"
    case.require_one_architecture(name)
    case.require_no_declarations(name)
    # In one order, so that a federation has one global network, whichever of its sites is the student.
    members = sorted(case.federation(), key=lambda m: m.model.card.site)
    if not members:
        raise InputError(
            "needs every site's training images, round by round",
            where=f"method '{name}'",
            fix="leave the method out, or run it in a simulation",
        )
    labels = union([m.model.card.labels for m in members])
    columns = _columns(case, labels)

    torch.manual_seed(case.seed)
    images = [_relabelled(m, labels) for m in members]
    network = case.own.card.network.build(len(labels))
    known = case.known
    if known is not None:
        network = linear_head(network)
        images = [_at_head(known.head_inputs(items), items) for items in images]
        case = replace(case, augment=[])  # of images
    if settings.keep != "none":
        require_batch_norm(network, f"method '{name}': keep")
    started = time.monotonic()
    done = _rounds(
        case, settings, network, members, images, case.shared / _file(name, case, settings, members)
    )
    mine = done.kept.get(case.own.card.site, {})
    network.load_state_dict(done.weights | mine)
    size = sum(4 * v.numel() for k, v in done.weights.items() if k not in mine)

    def predict(shown: Images) -> Tensor:
        if known is None:
            return logits_of(network, shown, case.device)[:, columns]
        with torch.no_grad():
            return network.cpu()(known.head_inputs(shown))[:, columns]

    return Outcome(
        predict,
        teachers_used=len(members) - 1,
        bytes_received=settings.rounds * size,
        # Rounds that ran just now are in the caller's own time.
        seconds=max(0.0, done.seconds - (time.monotonic() - started)),
    )


def union(spaces: Sequence[LabelSpace]) -> LabelSpace:
    """Every class of any space once, in the order of their first appearance."""
    classes = list(spaces[0])
    for space in spaces[1:]:
        classes += [c for c in space if not any(c.means(k) for k in classes)]
    return LabelSpace(classes, where="classes of the federation")


def average(states: Sequence[Weights], counts: Sequence[int]) -> Weights:
    """The mean weighted by numbers of images; whole numbers, which count steps, are the first's."""
    shares = [n / sum(counts) for n in counts]
    first = states[0]
    return {
        k: torch.stack([s[k] * share for s, share in zip(states, shares, strict=True)]).sum(0)
        if first[k].is_floating_point()
        else first[k].clone()
        for k in first
    }


def staying(network: nn.Module, keep: Keep) -> set[str]:
    """The names in a network's state of what stays at each site."""
    if keep == "none":
        return set()
    found = set()
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            own = [k for k, _ in module.named_buffers(recurse=False)]
            own += [k for k, _ in module.named_parameters(recurse=False) if keep == "norms"]
            found |= {f"{name}.{k}" for k in own}
    return found


def local_loss(network: nn.Module, proximal: float) -> Callable[[Tensor, dict[str, Tensor]], Tensor]:
    """Cross-entropy over all classes, and for FedProx μ/2 times the squared way from where it started.

    Args:
        network: as it came from the server, on the device where it will be trained.
    """
    start = [p.detach().clone() for p in network.parameters()]

    def loss(logits: Tensor, targets: dict[str, Tensor]) -> Tensor:
        value = SINGLE_LABEL.loss(logits, targets)
        if proximal:
            way = [(p - s).square().sum() for p, s in zip(network.parameters(), start, strict=True)]
            value = value + proximal / 2 * torch.stack(way).sum()
        return value

    return loss


def _rounds(
    case: Case,
    settings: Settings,
    network: nn.Module,
    members: Sequence[Member],
    images: Sequence[list[dict[str, Any]]],
    path: Path,
) -> Progress:
    """All rounds, kept in a file after each, from which a run that was cut off goes on."""
    progress = _read(path) or Progress(_state(network))
    if progress.rounds >= settings.rounds:
        return progress
    counts, stay = [len(i) for i in images], staying(network, settings.keep)
    for r in tqdm(
        range(progress.rounds, settings.rounds),
        "rounds",
        settings.rounds,
        initial=progress.rounds,
        disable=None,
    ):
        started = time.monotonic()
        states, kept = [], {}
        for number, (member, items) in enumerate(zip(members, images, strict=True)):
            local = copy.deepcopy(network)
            site = member.model.card.site
            local.load_state_dict(progress.weights | progress.kept.get(site, {}))
            local.to(case.device)
            case.train(
                local,
                items,
                local_loss(local, settings.proximal),
                settings,
                f"round {r + 1}, {site}",
                max_epochs=settings.local_epochs,
                # Of the round and the site alone, so that a resumed run ends with the same weights.
                seed=(case.seed * settings.rounds + r) * len(members) + number,
            )
            states.append(_state(local))
            kept[site] = {k: v for k, v in states[-1].items() if k in stay}
        took = progress.seconds + time.monotonic() - started
        progress = Progress(average(states, counts), r + 1, took, kept)
        _write(path, progress)
    return progress


def _relabelled(member: Member, labels: LabelSpace) -> list[dict[str, Any]]:
    """A site's images with their labels' positions in the union."""
    to = align(member.model.card.labels, labels)
    items = (member.training[i] for i in range(len(member.training)))
    return [{**item, "label": to[int(item["label"])]} for item in items]


def _at_head(inputs: Tensor, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What arrives at a frozen network's head in the place of each image."""
    return [{"image": row, "label": item["label"]} for row, item in zip(inputs, items, strict=True)]


def _columns(case: Case, labels: LabelSpace) -> list[int]:
    found = [(c, labels.find(c)) for c in case.labels]
    missing = [c.name for c, column in found if column is None]
    if missing:
        raise QueryError(
            f"no site of the federation has {', '.join(map(repr, missing))}",
            where="query",
            fix="add sites that do, or ask for other classes",
        )
    return [column for _, column in found if column is not None]


def _file(name: str, case: Case, settings: Settings, members: Sequence[Member]) -> str:
    """Named after everything that decides the global weights."""
    cards = [(m.model.card, len(m.training)) for m in members]
    sites = [(c.site, c.weights_sha256, c.facts()["label_space"], n) for c, n in cards]
    network, given = case.own.card.network.model_dump(), case.own.card.input.model_dump()
    chosen = settings.model_dump(exclude={"max_epochs"})
    return f"{name}-{fingerprint(chosen, case.seed, sites, network, given)}.safetensors"


def _state(network: nn.Module) -> Weights:
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}


def _read(path: Path) -> Progress | None:
    try:
        with safe_open(path, framework="pt") as f:
            facts = f.metadata() or {}
            # Copied, since safetensors maps the file into memory, where a change to it would be seen.
            tensors = {k: f.get_tensor(k).clone() for k in f.keys()}  # noqa: SIM118 - it is no mapping
        weights = {k: v for k, v in tensors.items() if "/" not in k}
        kept: dict[str, Weights] = {}
        for name in tensors.keys() - weights.keys():
            site, _, key = name.rpartition("/")
            kept.setdefault(site, {})[key] = tensors[name]
        return Progress(weights, int(facts["rounds"]), float(facts["seconds"]), kept)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None  # absent or damaged


def _write(path: Path, progress: Progress) -> None:
    """Weights, rounds and seconds in one file, so that none can be there without the others."""
    facts = {"rounds": str(progress.rounds), "seconds": repr(progress.seconds)}
    own = {f"{site}/{k}": v for site, state in progress.kept.items() for k, v in state.items()}
    tensors = {k: v.contiguous() for k, v in (progress.weights | own).items()}
    write_whole(path, lambda part: save_file(tensors, part, metadata=facts))
