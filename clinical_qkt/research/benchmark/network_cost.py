"""What each network costs by the size of its images, on the processor: ratios, memory and bytes.

    python -m clinical_qkt.research.benchmark.network_cost [--networks NAME,…] [--sizes 28,96] [--volumes]
        [--out FILE]

A training step (forward, backward, AdamW) and a forward pass, for an image of a batch, in CPU time of one
thread, as ratios to those of one network at one size: seconds depend on the machine, ratios less so. Memory
is counted on shapes, see ``core.footprint``; bytes are those of a model's package. What would take too long
is left out, and told.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

from clinical_qkt.checking.estimates import BACKWARD, RATE, cost_of
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json
from clinical_qkt.core.footprint import Footprint
from clinical_qkt.networks.spec import NetworkSpec, preset
from clinical_qkt.tasks.single_label import SINGLE_LABEL

NETWORKS = (
    *("resnet_small", "resnet_small_stride2", "resnet18", "efficientnet_lite0", "resnet18_standard"),
    *("efficientnet_b0", "densenet121", "resnet50_standard", "vit_s16"),
)
SIZES = (28, 96, 224, 512)
ONE = ("efficientnet_lite0", 224)
"""The network and the size whose costs count as one, if it is there; else the first."""
OF_VOLUMES = ("resnet_small", "resnet_small_stride2", "resnet18_standard", "densenet121", "efficientnet_b0")
SIZES_OF_VOLUMES = (32, 64, 96)
CLASSES, BATCH = 8, 4
LONGEST = 8.0
"""Seconds that a training step may take by its multiply-adds, before a case is left out."""


def measured(
    name: str, size: int, repeats: int, longest: float = LONGEST, *, volumes: bool = False
) -> dict[str, Any]:
    """One network at one size; why it was left out, if it cannot take such images or would take too long.

    Args:
        size: pixels along all sides.
        repeats: of which the fastest counts; one more goes before.
        longest: seconds of a training step.
        volumes: of one channel, instead of colour pictures.
    """
    channels, sides = (1, [size] * 3) if volumes else (3, [size] * 2)
    try:
        spec = preset(name, channels, sides)
    except InputError:
        return {"network": name, "pixels": size, "left_out": "no such size"}
    cost = cost_of(spec, CLASSES, channels, sides)
    if cost.multiply_adds * BACKWARD * BATCH / RATE["cpu"] > longest:
        return {"network": name, "pixels": size, "left_out": "too long"}
    network, images = _made(spec, [channels, *sides])
    train, infer = _step(network, images), _look(network, images)
    return {
        "network": name,
        "pixels": size,
        "train_seconds": _fastest(train, repeats) / BATCH,
        "inference_seconds": _fastest(infer, repeats) / BATCH,
        "train_bytes": Footprint(network, images.shape[1:], BATCH, training=True)(BATCH) / BATCH,
        "package_bytes": sum(v.numel() * v.element_size() for v in network.state_dict().values()),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """What was measured, in Markdown, a row for each network and size."""
    there = [row for row in rows if "left_out" not in row]
    one = next((r for r in there if (r["network"], r["pixels"]) == ONE), there[0])
    heads = ("network", "pixels", "training", "inference", "memory in training", "package")
    lines = ["| " + " | ".join(heads) + " |", "| --- | " + "---: | " * 4 + "---: |"]
    for row in there:
        ratios = (_short(row[key] / one[key]) for key in ("train_seconds", "inference_seconds"))
        sizes = f"{row['train_bytes'] / 1e6:,.1f} MB", f"{row['package_bytes'] / 1e6:,.1f} MB"
        lines.append(f"| `{row['network']}` | {row['pixels']} | {' | '.join([*ratios, *sizes])} |")
    return "\n".join([*lines, "", *_told(rows, one)])


def _told(rows: Sequence[dict[str, Any]], one: dict[str, Any]) -> list[str]:
    """What the figures are, and what is missing."""
    seconds = [f"{1000 * one[key]:.0f} ms" for key in ("train_seconds", "inference_seconds")]
    lines = [
        f"Times are CPU seconds of one thread, as ratios to `{one['network']}` at {one['pixels']} pixels "
        f"({' and '.join(seconds)} an image there), in batches of {BATCH}; memory is for each image."
    ]
    for why in ("too long", "no such size"):
        which = [f"`{r['network']}` at {r['pixels']}" for r in rows if r.get("left_out") == why]
        if which:
            lines.append(f"Left out, {why}: {', '.join(which)}.")
    return lines


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _made(spec: NetworkSpec, shape: list[int]) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return spec.build(CLASSES), torch.randn(BATCH, *shape)


def _step(network: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    targets = {"label": torch.arange(len(images)) % CLASSES}

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        SINGLE_LABEL.loss(network(images), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _look(network: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    def look() -> None:
        network.eval()
        with torch.no_grad():
            network(images)

    return look


def _fastest(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(1 + repeats):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken[1:])


def main(
    networks: Annotated[str | None, typer.Option(help="Short names, with commas between.")] = None,
    sizes: Annotated[str | None, typer.Option(help="Pixels, with commas between.")] = None,
    volumes: Annotated[bool, typer.Option(help="Of volumes instead of pictures.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="The fastest counts.")] = 2,
    longest: Annotated[float, typer.Option(help="Seconds of a step; longer ones are left out.")] = LONGEST,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Measure, and print the table."""
    torch.set_num_threads(1)
    rows = []
    names = networks.split(",") if networks else OF_VOLUMES if volumes else NETWORKS
    sides = map(int, sizes.split(",")) if sizes else SIZES_OF_VOLUMES if volumes else SIZES
    for name, size in product(names, sides):
        rows.append(measured(name, size, repeats, longest, volumes=volumes))
        print(json.dumps(rows[-1]), file=sys.stderr)
        if out:
            write_json(out, rows)
    print(table(rows))


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
