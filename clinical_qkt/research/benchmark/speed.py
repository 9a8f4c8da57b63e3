"""What a transfer costs, as ratios taken side by side in one run.

    python -m clinical_qkt.research.benchmark.speed [--images 512] [--epochs 8] [--repeats 2] [--out FILE]

Against plain supervised fine-tuning for as many steps, and against a loop that asks every teacher in every
step; and with many sites of which few are relevant. Networks are untrained and images are noise: speed does
not depend on what they show.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.networks.spec import preset, reshape_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.derived import DerivedModel
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt import distillation, knowledge_masks
from clinical_qkt.qkt.head_imitation import imitations
from clinical_qkt.qkt.losses import TransferLoss
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import Student
from clinical_qkt.qkt.targets import aligned, with_targets
from clinical_qkt.qkt.teachers import Teacher, committee, relevant_teachers
from clinical_qkt.query.aggregate import fitted
from clinical_qkt.query.patient_batches import looked_at, of_images
from clinical_qkt.query.request import own_extractor
from clinical_qkt.statistics.class_statistics import Moments, class_statistics, pooled
from clinical_qkt.training.inference import features_of, logits_of
from clinical_qkt.training.loop import train

CLASSES, QUERY = 5, [4]
LOCAL = [c for c in range(CLASSES) if c not in QUERY]


class Together(nn.Module):
    """A student that takes its teachers along in every step, as a naive loop does."""

    def __init__(self, student: nn.Module, teachers: list[nn.Module]) -> None:
        super().__init__()
        self.student, self.teachers = student, teachers  # a plain list: nothing of theirs is trained

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            said = torch.stack([t(images) for t in self.teachers], 1)
        return self.student(images), said


def measure(images: int, epochs: int, repeats: int) -> dict[str, Any]:
    """Seconds, the least of the repeats, of each way; the ways take turns within each repeat."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    pictures = torch.rand(images, 3, 28, 28) * 2 - 1
    items = [{"image": picture, "label": i % len(LOCAL)} for i, picture in enumerate(pictures)]
    networks = [preset("resnet_small", 3, [28, 28]).build(CLASSES).to(device).eval() for _ in range(16)]
    labels = LabelSpace([f"class {c}" for c in range(CLASSES)])
    settings = TransferSettings(max_epochs=epochs)
    chosen: dict[str, Any] = {
        "max_epochs": epochs,
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "seed": 0,
        "device": device,
        "what": "speed",
    }

    def plain() -> None:
        loss = lambda logits, targets: F.cross_entropy(logits[:, LOCAL], targets["label"])  # noqa: E731
        train(preset("resnet_small", 3, [28, 28]).build(CLASSES), items, symmetries([28, 28]), loss, **chosen)

    def transfer(relevant: int, sites: int) -> None:
        found = relevant_teachers(_teachers(networks, relevant, sites), labels, QUERY)
        said = [
            aligned(logits_of(t.model.network, items, device), t.columns, t.known, CLASSES) for t in found
        ]
        data = with_targets(items, torch.stack(said, 1), torch.zeros(images, len(LOCAL)))
        student = preset("resnet_small", 3, [28, 28]).build(CLASSES)
        distillation.distil(student, data, symmetries([28, 28]), items[:64], QUERY, settings, 0, device)

    own = reshape_head(networks[-1], {c: c for c in LOCAL}, len(LOCAL))
    together = committee(_model("student", own, len(LOCAL)), _teachers(networks, 4, 4), labels).network

    def answers(network: nn.Module) -> None:
        logits_of(network, items, device)

    site = _model("student", own, len(LOCAL))
    extractor, _ = own_extractor(site, None, items, device)
    seen = features_of(extractor, items, device), torch.arange(images) % len(LOCAL)
    given = [class_statistics(seen[0] + k) for k in range(4)]

    student = Student(
        own=site,
        labels=labels,
        query=list(QUERY),
        augment=symmetries([28, 28]),
        seed=0,
        device=device,
    )

    def heads(teachers: int) -> DerivedModel:
        others = _teachers(networks, teachers, teachers)
        said = {t.site: logits_of(t.model.network, items, device) for t in others}
        return next(imitations(student, items, others, said, logits_of(own, items, device), "own"))

    multihead = heads(4).network

    def site_answers() -> None:
        """As ``contributions`` makes an exact response, in this process alone."""
        moments, given = Moments(extractor.spec.features), site.card.input
        listed = [{"image": str(i), "label": 0, "patient": str(i)} for i in range(images)]
        batches = of_images(
            listed, images_at_once(extractor, pictures[0].shape, device, step=extractor.features)
        )
        read = lambda item: items[int(item["image"])]  # noqa: E731
        for found in looked_at(batches, extractor, given, read, device, 0):
            moments.update(found.features)
        moments.statistics()

    def head_of_answers() -> GaussianClassifier:
        return fitted(site, extractor, [pooled(given)], seen, seen, "quadratic", 0.75, 0)[0]

    gaussian = head_of_answers()

    def probing() -> None:
        knowledge_masks.knowledge_scores(networks[0], 3, (28, 28), -1, 1, device=device)

    def naive(relevant: int) -> None:
        student = Together(preset("resnet_small", 3, [28, 28]).build(CLASSES).to(device), networks[:relevant])
        kind = TransferLoss(
            LOCAL, QUERY, kind="evidence", divergence_weight=0.1, self_weight=0, temperature=2
        )
        train(
            student,
            items,
            symmetries([28, 28]),
            lambda both, targets: kind(both[0], {**targets, "soft_targets": both[1]}),
            **chosen,
        )

    ways: dict[str, Callable[[], Any]] = {"plain fine-tuning": plain}
    for relevant in (1, 4, 16):
        ways[f"transfer, {relevant} relevant"] = lambda r=relevant: transfer(r, r)  # type: ignore[misc]
        ways[f"heads, {relevant} relevant"] = lambda r=relevant: heads(r)  # type: ignore[misc]
        ways[f"naive loop, {relevant} relevant"] = lambda r=relevant: naive(r)  # type: ignore[misc]
    ways["probing one model for its mask"] = probing
    ways["one network answers"] = lambda: answers(networks[0])
    ways["own model and 4 teachers answer"] = lambda: answers(together)
    ways["a network with heads for 4 teachers answers"] = lambda: answers(multihead)
    ways["statistics of a site's images"] = site_answers
    ways["a head of 4 sites' statistics"] = head_of_answers
    ways["a classifier made of statistics answers"] = lambda: answers(gaussian)
    ways["transfer, 4 relevant of 8"] = lambda: transfer(4, 8)
    ways["transfer, 4 relevant of 64"] = lambda: transfer(4, 64)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    todo = [name for _ in range(repeats) for name in ways]
    for name in track(todo, "measuring", transient=True):
        start = time.perf_counter()
        ways[name]()
        seconds[name].append(time.perf_counter() - start)
    least = {name: min(values) for name, values in seconds.items()}
    base = least["plain fine-tuning"]
    ratios = {
        f"{n} relevant teachers": {
            "transfer / plain fine-tuning": least[f"transfer, {n} relevant"] / base,
            "heads for each / plain fine-tuning": least[f"heads, {n} relevant"] / base,
            "naive loop / transfer": least[f"naive loop, {n} relevant"] / least[f"transfer, {n} relevant"],
        }
        for n in (1, 4, 16)
    }
    sites = least["transfer, 4 relevant of 64"] / least["transfer, 4 relevant of 8"]
    return {
        "device": device.type,
        "images": images,
        "epochs": epochs,
        "seconds": least,
        "ratios": {
            **ratios,
            "64 sites against 8, 4 relevant, masks known": {"transfer / transfer": sites},
            "a committee of 4 teachers": {
                "its answers / one network's": least["own model and 4 teachers answer"]
                / least["one network answers"],
                "its answers / transfer of 4": least["own model and 4 teachers answer"]
                / least["transfer, 4 relevant"],
            },
            "a network with heads for 4 teachers": {
                "its answers / one network's": least["a network with heads for 4 teachers answers"]
                / least["one network answers"],
            },
            "responses with statistics": {
                "a site's statistics / one network's answers": least["statistics of a site's images"]
                / least["one network answers"],
                "a head of 4 sites' statistics / transfer of 4": least["a head of 4 sites' statistics"]
                / least["transfer, 4 relevant"],
                "the classifier's answers / one network's": least["a classifier made of statistics answers"]
                / least["one network answers"],
            },
            "probing one model": {
                "probing / transfer of 4": least["probing one model for its mask"]
                / least["transfer, 4 relevant"]
            },
        },
    }


def _teachers(networks: list[nn.Module], relevant: int, sites: int) -> list[Teacher]:
    """Teachers of which the first know all classes, the others all but the queried one."""
    columns = {c: c for c in range(CLASSES)}
    found = []
    for i in range(sites):
        model = _model(f"hospital_{i}", networks[i % len(networks)], CLASSES)
        known = [i < relevant or c not in QUERY for c in range(CLASSES)]
        found.append(Teacher(model, columns, torch.ones(CLASSES), known))
    return found


def _model(site: str, network: nn.Module, classes: int) -> Model:
    card = Card(
        site=site,
        task="speed",
        label_space=[ClassLabel(name=f"class {c}") for c in range(classes)],
        network=preset("resnet_small", 3, [28, 28]),
        head="fc",
        input=InputContract(channels=3, spatial_size=[28, 28]),
    )
    return Model(network, card, Path(), 0)


def main(
    images: Annotated[int, typer.Option(min=64)] = 512,
    epochs: Annotated[int, typer.Option(min=1)] = 8,
    repeats: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path, typer.Option()] = Path("runs/speed.json"),
) -> None:
    """Print what a transfer costs, as ratios."""
    found = measure(images, epochs, repeats)
    write_json(out, found)
    console = Console()
    for case, ratios in found["ratios"].items():
        for what, ratio in ratios.items():
            console.print(f"{case}: {what} = {ratio:.2f}", highlight=False)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
