"""What a student's new model tells two of three responding hospitals of the third one's exact response.

    python -m clinical_qkt.research.what_new_models_tell --data FILE [--worlds 120] [--query basophil]
        [--epochs 3] [--out DIR]

In each world the third hospital's images are others of one pool; all else stays the same, so that whatever
varies in the new model comes from that response. The attacker knows all but it: the student's network,
images and recipe, and the two other responses. From the Gaussian model the third mean is computed. Of a head
that was trained on features drawn from the Gaussians (``head: replay``), and of a network that was distilled
from the Gaussian model on the student's images, the attacker makes many in worlds of his own, and learns by
ridge regression how they go with the mean that is sought. Figures: which share of the variance of the third
mean is found, in worlds that were not learnt from; and how well a single image of the pool can be told to be
among the third hospital's (AUC, 0.5 is guessing).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from rich.console import Console
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json, write_text
from clinical_qkt.core.progress import bar
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.networks.spec import find_head, preset, reshape_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import CardedNetwork, Model
from clinical_qkt.query.aggregate import fitted
from clinical_qkt.query.request import own_extractor
from clinical_qkt.research.own_recall import CPU, Items, contract, prepared
from clinical_qkt.statistics.class_statistics import ClassStatistics, class_statistics, pooled
from clinical_qkt.statistics.gaussian_heads import Head
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import features_of, labels_of, logits_of
from clinical_qkt.training.loop import train

OWN, EACH, RESPONSE, POOL = 4, 60, 60, 200
"""Own classes, own images of each, images behind a response, and the pool of the third hospital's."""
SHRINKAGE = 0.1
GAUSSIAN, DISTILLED = "Gaussian", "distilled on own images, other seeds"
SAME, OTHER = "replayed head, a seed that is known", "replayed head, other seeds"
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True, eq=False)
class Student:
    """All that does not change from world to world.

    Attributes:
        own: its model.
        seen: features and labels of its training images.
        others: the two responses that the attacker knows.
        pool: ``(POOL, D)`` features of the third hospital's possible images.
        probes: the attacker's own images.
    """

    own: CardedNetwork
    extractor: Extractor
    images: Items
    seen: tuple[Tensor, Tensor]
    others: list[ClassStatistics]
    pool: Tensor
    probes: Items


def student(source: Source, query: str, seed: int) -> Student:
    """A trained student, and the responses to it."""
    names = source.classes.names
    if query not in names:
        raise InputError(f"no class '{query}'", where="--query", fix=one_of(query, names))
    asked, training = names.index(query), source.splits["training"]
    rng = np.random.default_rng(seed)
    known = [c for c in range(len(names)) if c != asked][:OWN]
    rows = {c: i for i, c in enumerate(known)}
    mine = [p for c in known for p in rng.permutation(training[source.labels[training] == c])[: 2 * EACH]]
    of_query = rng.permutation(training[source.labels[training] == asked])
    images = prepared(source, [p for i, p in enumerate(mine) if i % 2 == 0], rows)
    theirs = prepared(source, of_query[: 2 * RESPONSE + POOL].tolist(), {asked: OWN})
    own = _trained(source, images, [names[c] for c in known], seed)
    extractor, features = own_extractor(cast(Model, own), None, images, CPU)
    found = features_of(extractor, theirs, CPU)
    others = [class_statistics(part) for part in found[: 2 * RESPONSE].split(RESPONSE)]
    probes = [*theirs[:RESPONSE], *prepared(source, [p for i, p in enumerate(mine) if i % 2], rows)]
    return Student(
        own, extractor, images, (features, labels_of(images)), others, found[2 * RESPONSE :], probes
    )


def _trained(source: Source, images: Items, names: list[str], seed: int) -> CardedNetwork:
    given = contract(source)
    spec = preset("resnet_small", given.channels, given.spatial_size)
    torch.manual_seed(seed)
    network = spec.build(len(names))
    how = {"max_epochs": 8, "learning_rate": 3e-3, "batch_size": 16, "seed": seed, "device": CPU}
    train(network, images, [], SINGLE_LABEL.loss, what="training", **how)  # type: ignore[arg-type]
    about = {"task": "research", "label_space": names, "network": spec, "input": given}
    return CardedNetwork(network, Card(site="student", head=find_head(network), **about))  # type: ignore[arg-type]


def made_of(one: Student, third: Tensor, head: Head = "quadratic", seed: int = 0) -> GaussianClassifier:
    """The new model of statistics in a world."""
    parts, both = [*one.others, class_statistics(third)], (one.seen, one.seen)
    queried = [pooled(parts)]
    shrinkage = SHRINKAGE if head == "quadratic" else None
    made, _ = fitted(cast(Model, one.own), one.extractor, queried, *both, head, shrinkage, seed)
    return made


def read_off(one: Student, made: GaussianClassifier) -> Tensor:
    """The third hospital's mean, computed from the Gaussian and the two other responses."""
    rest = sum((p.count * p.mean for p in one.others), torch.zeros_like(one.others[0].mean))
    count = RESPONSE + sum(p.count for p in one.others)
    return (made.mean[OWN].double() * count - rest) / RESPONSE


def distilled(one: Student, made: nn.Module, epochs: int, seed: int) -> nn.Module:
    """One network of the usual size that says what the Gaussian model says, on the student's images."""
    soft = SINGLE_LABEL.probabilities(logits_of(made, one.images, CPU))
    items = [{**item, "soft": target} for item, target in zip(one.images, soft, strict=True)]
    network = reshape_head(copy.deepcopy(one.own.network), {i: i for i in range(OWN)}, OWN + 1)

    def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(logits, batch["soft"])

    how = {"max_epochs": epochs, "learning_rate": 1e-3, "batch_size": 32, "seed": seed, "device": CPU}
    return train(network, items, [], loss, what="distil", **how)  # type: ignore[arg-type]


def learnt(said: Tensor, means: Tensor, split: int) -> Tensor:
    """The means of the worlds from ``split`` on, predicted from what models say; learnt on those before.

    Ridge regression in its dual form; the penalty is chosen on the last fifth of the worlds that are learnt
    from.

    Args:
        said: ``(worlds, numbers)``.
        means: ``(worlds, D)``.
    """
    inner = split - split // 5

    def predicted(ridge: float, to: int, at: slice) -> Tensor:
        middle, spread = said[:to].mean(0), said[:to].std(0) + 1e-12
        x, y = (said - middle) / spread, means - means[:to].mean(0)
        kernel = x[:to] @ x[:to].T / x.shape[1]
        weights = torch.linalg.solve(kernel + ridge * torch.eye(to, dtype=x.dtype), y[:to])
        return x[at] @ x[:to].T / x.shape[1] @ weights + means[:to].mean(0)

    def missed(ridge: float) -> float:
        return float((predicted(ridge, inner, slice(inner, split)) - means[inner:split]).square().sum())

    return predicted(min(RIDGES, key=missed), split, slice(split, None))


def explained(found: Tensor, means: Tensor, before: Tensor) -> float:
    """Which share of the variance of the sought means is found; 0: no more than their average tells."""
    return 1 - float((found - means).square().sum() / (before.mean(0) - means).square().sum())


def membership(found: Tensor, pool: Tensor, chosen: Sequence[Tensor]) -> float:
    """AUC of telling the third hospital's images from the rest of the pool, over worlds."""
    scores = [((pool - pool.mean(0)) @ (mean - pool.mean(0))).numpy() for mean in found]
    truth = [np.isin(np.arange(len(pool)), picked.numpy()) for picked in chosen]
    return float(np.mean([roc_auc_score(t, s) for t, s in zip(truth, scores, strict=True)]))


def measured(one: Student, worlds: int, epochs: int) -> list[dict[str, Any]]:
    """A row for each kind of new model."""
    picked = [_drawn(len(one.pool), world) for world in range(worlds)]
    means = torch.stack([one.pool[p].mean(0) for p in picked])
    read: list[Tensor] = []
    told: dict[str, list[Tensor]] = {name: [] for name in (SAME, OTHER, *([DISTILLED] if epochs else []))}
    recall: dict[str, list[float]] = {name: [] for name in (GAUSSIAN, *told)}
    with bar(worlds, "worlds") as shown:
        for world, chosen in enumerate(picked):
            third = one.pool[chosen]
            models: dict[str, nn.Module] = {GAUSSIAN: (made := made_of(one, third))}
            models[SAME] = made_of(one, third, "replay")
            models[OTHER] = made_of(one, third, "replay", seed=1 + world)
            if epochs:
                models[DISTILLED] = distilled(one, made, epochs, seed=1 + world)
            read.append(read_off(one, made))
            for name, network in models.items():
                said = logits_of(network, one.probes, CPU).double()
                recall[name].append(float((said[:RESPONSE].argmax(1) == OWN).double().mean()))
                if name in told:
                    told[name].append(_seen(network, said))
            shown.update(1)
    split = worlds * 3 // 4
    found = {GAUSSIAN: torch.stack(read)[split:]}
    found |= {name: learnt(torch.stack(seen), means, split) for name, seen in told.items()}
    return [
        {
            "model": name,
            "recall": float(np.mean(recall[name])),
            "explained": explained(guess, means[split:], means[:split]),
            "auc": membership(guess, one.pool, picked[split:]),
        }
        for name, guess in found.items()
    ]


def _seen(network: nn.Module, said: Tensor) -> Tensor:
    """What of a model is learnt from: the weights of a head, or what a network says of the probes."""
    if isinstance(network, GaussianClassifier):
        return torch.cat([p.detach().flatten() for p in network.head.parameters()]).double()
    return said.log_softmax(1).flatten()


def _drawn(pool: int, world: int) -> Tensor:
    """Which images of the pool the third hospital has."""
    return torch.randperm(pool, generator=torch.Generator().manual_seed(world))[:RESPONSE]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures for people."""
    lines = [
        "| new model | queried class recognised | of the third mean's variance found | AUC of one image |",
        "| --- | ---: | ---: | ---: |",
    ]
    cells = (("recall", "{:.0%}"), ("explained", "{:.1%}"), ("auc", "{:.2f}"))
    lines += [
        " | ".join([f"| {r['model']}", *(how.format(r[key]) for key, how in cells)]) + " |" for r in rows
    ]
    return "\n".join(lines) + "\n"


def main(
    data: Annotated[Path, typer.Option(help="A MedMNIST-style .npz file.")],
    query: Annotated[str, typer.Option(help="The class that the student asks for.")] = "basophil",
    worlds: Annotated[int, typer.Option(min=20)] = 120,
    epochs: Annotated[int, typer.Option(min=0, help="Of the distillation; 0: none is made.")] = 3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option()] = Path("runs/what_new_models_tell"),
) -> None:
    """Print and write the table."""
    source = open_source(data, seed)
    rows = measured(student(source, query, seed), worlds, epochs)
    write_json(out / "results.json", {"data": source.name, "worlds": worlds, "epochs": epochs, "rows": rows})
    write_text(out / "results.md", table(rows))
    Console().print(table(rows), markup=False, soft_wrap=True)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
