"""What each stage takes on a processor beside the bare work, at several sizes of images: ratios.

    python -m clinical_qkt.research.benchmark.stage_speed [--pixels 28,224,512] [--repeats 3] [--out FILE]

Both are done on the same images in one run and take turns, and the least of the repeats counts, in seconds of
the processor: what else a machine does changes them little. Images are noise, networks untrained: speed does
not depend on what they show. ``stage_speed_page`` makes a table of the file, ``fixed_cost`` adds what begins
and ends a transfer.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from monai.utils import convert_to_tensor
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import contract_transforms, reading
from clinical_qkt.data.variations import variations
from clinical_qkt.evidence.evaluate import evaluate
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.query import axes
from clinical_qkt.research.benchmark.fixed_cost import fixed_cost
from clinical_qkt.research.benchmark.gpu_training import WAYS, Case, Laps
from clinical_qkt.research.benchmark.speed_cases import CLASSES, Cases
from clinical_qkt.research.benchmark.stage_speed_page import line_of, tables
from clinical_qkt.statistics.class_statistics import class_statistics

CPU = torch.device("cpu")
TEACHERS = 4
VARIED, TIMES = "varied images of a query", 1 + len(variations(3))
"""Of each own image that a query shows: as it is, and in all variations."""
Work = Callable[[], Any]


class Size(NamedTuple):
    """What is measured at one size.

    Attributes:
        images: of each pass; ``probes``: of the model that is probed.
        batch: of a training.
    """

    network: str
    pixels: int
    images: int
    probes: int
    batch: int


SIZES = {
    28: Size("resnet_small", 28, 256, 512, 64),
    224: Size("efficientnet_lite0", 224, 12, 12, 6),
    512: Size("efficientnet_lite0", 512, 4, 4, 2),
}
"""By pixels."""


def measure(size: Size, repeats: int, seconds: float, folder: Path) -> list[dict[str, Any]]:
    """Every stage's seconds of the processor for an image, ours and bare.

    Args:
        seconds: of each training, about.
        folder: for pictures that are read.
    """
    cases = Cases.of(size.images, 1, CPU, size.network, size.pixels, networks=TEACHERS + 1)
    shown = _shown(cases)
    counts = {"probing a model": size.probes, VARIED: len(shown) * TIMES}
    found = {
        what: (counts.get(what, size.images), *least(ours, bare, repeats))
        for what, (ours, bare) in _pairs(cases, shown, size, folder).items()
    }
    found["training"] = (1, *_training(size, repeats, seconds))
    about = {"network": size.network, "pixels": size.pixels}
    return [
        {**about, "what": what, "ours": ours / count, "bare": bare / count}
        for what, (count, ours, bare) in found.items()
    ]


def least(ours: Work, bare: Work, repeats: int) -> tuple[float, float]:
    """Seconds of the processor that each takes, after a first time that is left out; they take turns."""
    ours(), bare()
    taken = [(_seconds(ours), _seconds(bare)) for _ in range(repeats)]
    return min(o for o, _ in taken), min(b for _, b in taken)


def _seconds(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _shown(cases: Cases) -> Tensor:
    """``(N, 3, *places)``: the own images that a query varies."""
    rounds = axes.rounds_of(torch.tensor([item["label"] for item in cases.items]))
    return cases.pictures[rounds.flatten()]


def _pairs(cases: Cases, shown: Tensor, size: Size, folder: Path) -> dict[str, tuple[Work, Work]]:
    """By stage: as it is done here, and the work alone.

    Args:
        shown: as from ``_shown``.
    """
    one, extractor = cases.networks[0], cases.extractor
    members = [cases.site.network, *cases.networks[:TEACHERS]]
    together, truth = cases.together(TEACHERS), np.arange(size.images) % CLASSES
    noise = torch.rand(size.probes, 3, size.pixels, size.pixels) * 2 - 1

    def evaluated() -> None:
        said = cases.logits(one).softmax(1).numpy()
        evaluate(said, truth, cases.labels, [CLASSES - 1])

    return {
        **_files(size, folder),
        "a network answers": (lambda: cases.logits(one), lambda: bare_pass(one, cases.pictures)),
        "evaluation": (evaluated, lambda: bare_pass(one, cases.pictures)),
        f"{TEACHERS} teachers and the own model answer": (
            lambda: cases.logits(together),
            lambda: [bare_pass(m, cases.pictures) for m in members],
        ),
        "statistics of a class": (cases.statistics, lambda: _bare_statistics(extractor, cases.pictures)),
        "probing a model": (lambda: cases.probing(size.probes), lambda: bare_pass(one, noise)),
        VARIED: (
            lambda: axes.moves(extractor, cases.items, cases.site.card.input, CPU),
            lambda: [bare_pass(extractor.eval(), shown, extractor.numbers) for _ in range(TIMES)],
        ),
    }


@torch.no_grad()
def bare_pass(body: Any, pictures: Tensor, see: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """A network over images in memory, in batches as many as ours has."""
    see = see or body.eval()
    at_once = images_at_once(body, pictures.shape[1:], CPU, step=see)
    return torch.cat([see(part) for part in pictures.split(at_once)])


def _bare_statistics(extractor: Extractor, pictures: Tensor) -> Any:
    return class_statistics(bare_pass(extractor.eval(), pictures, extractor.features).double())


def _files(size: Size, folder: Path) -> dict[str, tuple[Work, Work]]:
    """Reading pictures and preparing them; files are a quarter larger than what networks take."""
    files, contract = _drawn(size, folder), InputContract(channels=3, spatial_size=[size.pixels] * 2)
    read, prepare = reading("display"), contract_transforms(contract)
    raw = [_through(read, {"image": str(f)}) for f in files]
    plain = [convert_to_tensor(r["image"], dtype=torch.float32, track_meta=False)[None].clone() for r in raw]
    (low, high), (bottom, top) = contract.intensity_range, contract.value_range

    def bare_prepare() -> None:
        for image in plain:
            placed = F.interpolate(image, contract.spatial_size, mode="area")
            ((placed - low) * ((top - bottom) / (high - low)) + bottom).clamp(bottom, top)

    return {
        "reading JPEG pictures": (
            lambda: [_through(read, {"image": str(f)}) for f in files],
            lambda: [np.asarray(Image.open(f).convert("RGB"), np.float32) for f in files],
        ),
        "preparing images": (lambda: [_through(prepare, {**r}) for r in raw], bare_prepare),
    }


def _through(steps: list[Any], item: dict[str, Any]) -> dict[str, Any]:
    for step in steps:
        item = step(item)
    return item


def _drawn(size: Size, folder: Path) -> list[Path]:
    """Mottled pictures, a quarter larger than what is measured, as JPEG."""
    draws, side = np.random.default_rng(0), size.pixels + size.pixels // 4
    files = [folder / f"{size.pixels}_{k}.jpg" for k in range(size.images)]
    for file in files:
        coarse = draws.integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(file, quality=85)
    return files


def _training(size: Size, repeats: int, seconds: float) -> tuple[float, float]:
    """Seconds of the processor for an image of a training, by ours and by a bare loop."""
    case = Case(size.network, size.pixels, size.batch, size.images, "single")
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    for way in [way for _ in range(repeats) for way in taken]:
        laps = Laps(CPU, seconds, clock=time.process_time)
        WAYS[way](case, CPU, laps)
        taken[way].append(laps.taken / (laps.count * size.images))
    return min(taken["ours"]), min(taken["bare"])


def sizes(told: str) -> list[int]:
    """What ``--pixels`` says.

    Raises:
        typer.BadParameter: another size than those that are measured.
    """
    wanted = told.split(",")
    if not all(pixels.strip().isdigit() and int(pixels) in SIZES for pixels in wanted):
        raise typer.BadParameter(f"choose among {', '.join(map(str, SIZES))}, with commas between them")
    return [int(pixels) for pixels in wanted]


def main(
    pixels: Annotated[str, typer.Option(help="Sides of the images.")] = "28,224,512",
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of each training, about.")] = 4.0,
    fixed: Annotated[bool, typer.Option(help="And what begins and ends a transfer.")] = True,
    out: Annotated[Path, typer.Option()] = Path("runs/stage_speed.json"),
) -> None:
    """Print what each stage takes beside the bare work."""
    torch.set_num_threads(1)
    chosen, console = sizes(pixels), Console(highlight=False, soft_wrap=True)
    found: dict[str, Any] = {"torch": torch.__version__, "threads": 1, "stages": []}
    with tempfile.TemporaryDirectory() as folder:
        for side in chosen:
            rows = measure(SIZES[side], repeats, seconds, Path(folder))
            found["stages"] += rows
            console.print("\n".join(map(line_of, rows)), markup=False)
        if fixed:
            found["fixed"] = fixed_cost(Path(folder))
    write_json(out, found)
    console.print(tables(found), markup=False)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
