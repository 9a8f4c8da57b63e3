"""What a site's own recall costs where its training does not see the look, by the number of epochs.

    python -m clinical_qkt.research.own_recall --data FILE [--seeds 0,1,2] [--sites 3] [--epochs 8,16,24]
        [--recipes plain,mild,strong] [--max-per-class 800] [--out DIR]

Sites as in the benchmark's usual scenario. Each network is asked about its site's own validation images,
as they are and each in a strong look of its own, and never about test images. What is done is not run again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from torch import Tensor

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json, write_text
from clinical_qkt.core.terms import LookAugmentation
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look_augmentation import RandLookd, look_augmentation
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.data.transforms import adapter, symmetries
from clinical_qkt.networks.mix_style import mix_styles
from clinical_qkt.networks.spec import preset
from clinical_qkt.research.partitions import pathological
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import labels_of, logits_of
from clinical_qkt.training.loop import train

SITES, CLASSES_PER_SITE = 8, [3, 4]
BATCH, LEARNING_RATE = 16, 3e-3
CPU = torch.device("cpu")
Items = list[dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """How a site's network is trained.

    Attributes:
        looks: see ``data.look_augmentation``.
        mix_style: see ``networks.mix_style``.
    """

    looks: LookAugmentation = "none"
    architecture: str = "resnet_small"
    mix_style: bool = False


RECIPES = {
    "plain": Recipe(),
    "mild": Recipe("mild"),
    "strong": Recipe("strong"),
    "mix_style": Recipe(mix_style=True),
    "group": Recipe(architecture="resnet_small_group"),
    "instance": Recipe(architecture="resnet_small_instance"),
    "strong_group": Recipe("strong", "resnet_small_group"),
    "strong_instance": Recipe("strong", "resnet_small_instance"),
}


def dealt(source: Source, most: int, site: int, seed: int) -> tuple[Items, Items, int]:
    """A site's training and validation images, and how many classes it has.

    Args:
        most: training images of a class, of all sites together; validation images are all used.
    """
    held = pathological(len(source.classes), SITES, CLASSES_PER_SITE, seed)
    sections = []
    for positions in (source.limited(most, seed).splits["training"], source.splits["validation"]):
        chosen: list[int] = []
        for c in held[site]:
            owners = [s for s, theirs in enumerate(held) if c in theirs]
            of_class = np.random.default_rng([seed, c]).permutation(positions[source.labels[positions] == c])
            chosen += np.array_split(of_class, len(owners))[owners.index(site)].tolist()
        sections.append(prepared(source, chosen, {c: i for i, c in enumerate(held[site])}))
    return sections[0], sections[1], len(held[site])


def prepared(source: Source, positions: Sequence[int], row: dict[int, int]) -> Items:
    pictures: Any = source.images  # an array, as ``contract`` requires
    prepared = adapter([], contract(source))
    return [
        {
            **prepared({"image": torch.from_numpy(np.atleast_3d(pictures[i]).transpose(2, 1, 0).copy())}),
            "label": row[int(source.labels[i])],
        }
        for i in positions
    ]


def contract(source: Source) -> InputContract:
    """What networks for these pictures expect.

    Raises:
        InputError: the data are no array of pictures.
    """
    if isinstance(source.images, list):
        raise InputError("is no .npz file", where="--data", fix="give a MedMNIST-style file")
    pictures = source.images
    channels = pictures.shape[3] if pictures.ndim == 4 else 1
    return InputContract(channels=channels, spatial_size=[pictures.shape[2], pictures.shape[1]])


def measured(training: Items, validation: Items, classes: int, how: Recipe, epochs: int, seed: int) -> Any:
    """Own recall on validation images as they are, and in strong looks, in points."""
    size = list(training[0]["image"].shape[1:])
    given = InputContract(channels=len(training[0]["image"]), spatial_size=size)
    torch.manual_seed(seed)
    spec = preset(how.architecture, given.channels, size)
    network = spec.build(classes)
    train(
        mix_styles(network, spec) if how.mix_style else network,
        training,
        [*symmetries(size), *look_augmentation(how.looks, given)],
        SINGLE_LABEL.loss,
        max_epochs=epochs,
        learning_rate=LEARNING_RATE,
        batch_size=BATCH,
        seed=seed,
        device=CPU,
        what="training",
    )
    look = RandLookd("strong", given)
    look.set_random_state(seed)
    looks = look.of_batch(torch.stack([item["image"] for item in validation]))
    other = [{**item, "image": image} for item, image in zip(validation, looks, strict=True)]
    truth = labels_of(validation)
    plain, strange = (logits_of(network, images, CPU).argmax(1) for images in (validation, other))
    return {"own": _recall(plain, truth), "in_strong_looks": _recall(strange, truth)}


def _recall(found: Tensor, truth: Tensor) -> float:
    """Mean over the classes, in points."""
    return 100 * float(np.mean([(found[truth == c] == c).float().mean().item() for c in truth.unique()]))


def table(rows: list[dict[str, Any]]) -> str:
    """Own recall by training and epochs, and what it costs against the plain training of eight epochs."""
    epochs = sorted({r["epochs"] for r in rows})
    lines = [
        "| training | epochs | own recall | against the first row | in strong looks | sites |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    first = {(r["seed"], r["site"]): r["own"] for r in rows if (r["recipe"], r["epochs"]) == _first(rows)}
    for name, count in product(dict.fromkeys(r["recipe"] for r in rows), epochs):
        mine = [r for r in rows if (r["recipe"], r["epochs"]) == (name, count)]
        if mine:
            gaps = [r["own"] - first[key] for r in mine if (key := (r["seed"], r["site"])) in first]
            low, high = _interval(gaps)
            cells = [f"{np.mean([r[k] for r in mine]):.1f}" for k in ("own", "in_strong_looks")]
            gap = f"{np.mean(gaps):+.1f} ({low:+.1f} to {high:+.1f})"
            lines.append(f"| {name} | {count} | {cells[0]} | {gap} | {cells[1]} | {len(mine)} |")
    return "\n".join(lines) + "\n"


def _first(rows: list[dict[str, Any]]) -> tuple[str, int]:
    return rows[0]["recipe"], min(r["epochs"] for r in rows)


def _interval(gaps: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over sites."""
    drawn = np.random.default_rng(0).choice(gaps, (2000, len(gaps))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def main(
    data: Annotated[Path, typer.Option(help="A MedMNIST-style .npz file.")],
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "0,1,2",
    sites: Annotated[int, typer.Option(min=1, max=SITES, help="Of each seed.")] = 3,
    epochs: Annotated[str, typer.Option(help="Separated by commas.")] = "8,16,24",
    recipes: Annotated[str, typer.Option(help="Separated by commas; the first is compared with.")] = (
        "plain,mild,strong"
    ),
    max_per_class: Annotated[int, typer.Option(min=10)] = 800,
    out: Annotated[Path, typer.Option()] = Path("runs/own_recall"),
) -> None:
    """Print and write the table."""
    names = recipes.split(",")
    strange = [name for name in names if name not in RECIPES]
    if strange:
        raise InputError(f"unknown '{strange[0]}'", where="--recipes", fix=one_of(strange[0], list(RECIPES)))
    file, console = out / "results.json", Console()
    rows = json.loads(file.read_text())["rows"] if file.is_file() else []
    done = {(r["seed"], r["site"], r["recipe"], r["epochs"]) for r in rows}
    for site, seed in product(range(sites), map(int, seeds.split(","))):
        source = open_source(data, seed)
        own = dealt(source, max_per_class, site, seed)
        for name, count in product(names, map(int, epochs.split(","))):
            if (seed, site, name, count) not in done:
                found = measured(*own, RECIPES[name], count, seed)
                rows.append({"seed": seed, "site": site, "recipe": name, "epochs": count, **found})
                console.print(json.dumps(rows[-1]), markup=False, soft_wrap=True)
                write_json(file, {"data": source.name, "rows": rows})
    chosen = [r for name in names for r in rows if r["recipe"] == name]
    write_text(out / "results.md", table(chosen))
    console.print(table(chosen), markup=False, soft_wrap=True)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
