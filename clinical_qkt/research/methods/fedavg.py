"""Averaging of weights over rounds: FedAvg and FedProx, what a site would do instead if all could meet.

FedAvg: McMahan et al., AISTATS 2017, arXiv 1602.05629. FedProx: Li et al., MLSys 2020, arXiv 1812.06127.
Each round the global network goes to every site, is trained there on the site's own labelled images, and
comes back; the new one is the average, weighted by numbers of images. So unlike the other methods these need
every site's images, round by round, and one architecture.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.core.files import fingerprint, write_whole
from clinical_qkt.data.label_space import LabelSpace, align
from clinical_qkt.research.methods.case import Case, Member, Outcome, TrainingSettings
from clinical_qkt.research.methods.registry import method
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import logits_of

Weights = dict[str, Tensor]


class Settings(TrainingSettings):
    """``max_epochs`` is not used: training lasts ``rounds`` times ``local_epochs``.

    Attributes:
        rounds: how often weights are averaged.
        local_epochs: epochs at each site in each round.
        proximal: FedProx's μ, how strongly a site is held to the global weights; 0 is FedAvg.
    """

    rounds: int = Field(default=10, ge=1)
    local_epochs: int = Field(default=1, ge=1)
    proximal: float = Field(default=0.0, ge=0)


@dataclass(frozen=True)
class Progress:
    """The global weights after so many rounds, which took so long."""

    weights: Weights
    rounds: int = 0
    seconds: float = 0.0


@method("fedavg", family="fusion")
def run(case: Case, settings: Settings) -> Outcome:
    """Train one global network over all sites' classes, once for all queries of the federation.

    Raises:
        InputError: the sites' networks differ, a class has synonyms or parts, or the sites' images cannot be
            had.
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
    network = case.own.card.network.build(len(labels))
    started = time.monotonic()
    done = _rounds(
        case, settings, network, members, labels, case.shared / _file(name, case, settings, members)
    )
    network.load_state_dict(done.weights)
    size = sum(4 * v.numel() for v in done.weights.values())
    return Outcome(
        lambda images: logits_of(network, images, case.device)[:, columns],
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
    labels: LabelSpace,
    path: Path,
) -> Progress:
    """All rounds, kept in a file after each, from which a run that was cut off goes on."""
    progress = _read(path) or Progress(_state(network))
    if progress.rounds >= settings.rounds:
        return progress
    images = [_relabelled(m, labels) for m in members]
    counts = [len(i) for i in images]
    for r in tqdm(
        range(progress.rounds, settings.rounds),
        "rounds",
        settings.rounds,
        initial=progress.rounds,
        disable=None,
    ):
        started = time.monotonic()
        states = []
        for number, (member, items) in enumerate(zip(members, images, strict=True)):
            local = copy.deepcopy(network)
            local.load_state_dict(progress.weights)
            local.to(case.device)
            case.train(
                local,
                items,
                local_loss(local, settings.proximal),
                settings,
                f"round {r + 1}, {member.model.card.site}",
                max_epochs=settings.local_epochs,
                # Of the round and the site alone, so that a resumed run ends with the same weights.
                seed=(case.seed * settings.rounds + r) * len(members) + number,
            )
            states.append(_state(local))
        took = progress.seconds + time.monotonic() - started
        progress = Progress(average(states, counts), r + 1, took)
        _write(path, progress)
    return progress


def _relabelled(member: Member, labels: LabelSpace) -> list[dict[str, Any]]:
    """A site's images with their labels' positions in the union."""
    to = align(member.model.card.labels, labels)
    items = (member.training[i] for i in range(len(member.training)))
    return [{"image": item["image"], "label": to[int(item["label"])]} for item in items]


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
            weights = {k: f.get_tensor(k).clone() for k in f.keys()}  # noqa: SIM118 - it is no mapping
        return Progress(weights, int(facts["rounds"]), float(facts["seconds"]))
    except (OSError, SafetensorError, KeyError, ValueError):
        return None  # absent or damaged


def _write(path: Path, progress: Progress) -> None:
    """Weights, rounds and seconds in one file, so that none can be there without the others."""
    facts = {"rounds": str(progress.rounds), "seconds": repr(progress.seconds)}
    tensors = {k: v.contiguous() for k, v in progress.weights.items()}
    write_whole(path, lambda part: save_file(tensors, part, metadata=facts))
