"""What a private response's pass over images costs, as ratios taken side by side in one run.

    python -m clinical_qkt.research.benchmark.response_speed [--seconds 6] [--repeats 3] [--out FILE]

One image at a time, as answers were made once; a patient's images together, in one process and in several;
and in ordinary batches, which promise nothing to anybody. The extractor is untrained and images are noise:
speed does not depend on what they show.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json
from clinical_qkt.core.runtime import device_here
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.query.patient_batches import Batch, looked_at, of_images, of_patients, room_for

CLOCKS = ("clock", "computing")
ONE, TOGETHER, ORDINARY = "one image at a time", "a patient's images together", "ordinary batches"


def measure(seconds: float, repeats: int, sizes: Sequence[int] = (28, 224)) -> dict[str, Any]:
    """Milliseconds an image, the least of the repeats, of each way; the ways take turns within each repeat.

    By the clock, and of computing in all processes: what else the machine does slows down the clock alone.

    Args:
        seconds: what one image at a time may take, about; so many images there are.
    """
    device = device_here()
    cases = []
    for size in sizes:
        given = InputContract(channels=3, spatial_size=[size, size])
        extractor = _extractor(given).to(device)
        images = _enough(extractor, given, device, seconds)
        cases += [_case(extractor, given, device, images, each, repeats) for each in (1, 8)]
    return {"device": device.type, "cores": len(os.sched_getaffinity(0)), "cases": cases}


def _case(
    extractor: Extractor, given: InputContract, device: torch.device, images: int, each: int, repeats: int
) -> dict[str, Any]:
    """So many images, of which each patient has ``each``."""
    size = given.spatial_size[0]
    items: list[dict[str, Any]] = [
        {"image": str(i), "label": 0, "patient": str(i // each)} for i in range(images)
    ]
    shape, together = (3, *given.spatial_size), of_patients(items, room_for(extractor, given, device))
    alone = [Batch(0, (i["image"],), (i["patient"],), 1) for i in items]
    full = of_images(items, images_at_once(extractor, shape, device, step=extractor.features))
    cores = len(os.sched_getaffinity(0)) if device.type == "cpu" else 0
    picture = torch.rand(shape) * 2 - 1

    def look(batches: Sequence[Batch], processes: int) -> Callable[[], None]:
        def run() -> None:
            for _ in looked_at(batches, extractor, given, lambda _: {"image": picture}, device, processes):
                pass

        return run

    ways = {ONE: look(alone, 0), TOGETHER: look(together, 0), ORDINARY: look(full, 0)}
    if cores:
        ways[f"{TOGETHER}, {cores} processes"] = look(together, cores)
    least = {name: [math.inf, math.inf] for name in ways}
    todo = [name for _ in range(repeats) for name in ways]
    for name in track(todo, f"{size} pixels, {each} images a patient", transient=True):
        start = _clocks()
        ways[name]()
        taken = [(now - then) / images * 1000 for now, then in zip(_clocks(), start, strict=True)]
        least[name] = [min(old, new) for old, new in zip(least[name], taken, strict=True)]
    about = {"pixels": size, "images": images, "images_a_patient": each, "batch": together[0].size}
    return {
        **about,
        "milliseconds_an_image": {n: dict(zip(CLOCKS, t, strict=True)) for n, t in least.items()},
    }


def _clocks() -> tuple[float, float]:
    """Seconds by the clock, and of computing in this process and in those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + ended.ru_utime + ended.ru_stime


def _extractor(given: InputContract) -> Extractor:
    torch.manual_seed(0)
    spec = preset("resnet_small", given.channels, given.spatial_size)
    network = spec.build(4).eval()
    described = describe(network, spec, spec.early_depths, given)
    return Extractor(described, network).double_map().requires_grad_(False)


@torch.no_grad()
def _enough(extractor: Extractor, given: InputContract, device: torch.device, seconds: float) -> int:
    """As many images as one at a time take so long, a multiple of 8."""
    image = torch.zeros(1, given.channels, *given.spatial_size, device=device)
    extractor.features(image)
    start = time.perf_counter()
    for _ in range(8):
        extractor.features(image).cpu()
    return max(64, 8 * round(seconds / (time.perf_counter() - start)))


def main(
    seconds: Annotated[float, typer.Option(min=0.1)] = 6,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path, typer.Option()] = Path("runs/answer_speed.json"),
) -> None:
    """Print how much faster than one image at a time a private response is computed."""
    found = measure(seconds, repeats)
    write_json(out, found)
    console = Console()
    console.print(f"{found['device']}, {found['cores']} cores", highlight=False)
    for case in found["cases"]:
        told, one = case["milliseconds_an_image"], case["milliseconds_an_image"][ONE]
        what = f"{case['pixels']} pixels, {case['images_a_patient']} images a patient"
        console.print(f"{what}: {one['computing']:.2f} ms of computing an image, {ONE}", highlight=False)
        for way in (way for way in told if way != ONE):
            clock, computing = (one[k] / told[way][k] for k in CLOCKS)
            console.print(
                f"  {way}: {clock:.2f} times as fast by the clock, {computing:.2f} by computing",
                highlight=False,
            )


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
