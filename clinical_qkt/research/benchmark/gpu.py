"""What the device at hand does in a second: trainings against a bare loop and MONAI's trainer, and all else.

    python -m clinical_qkt.research.benchmark.gpu [--seconds 1.5] [--repeats 2] [--out FILE]

Everything is measured in one run, one after the other. Without a GPU the same is done at tiny sizes, to show
that it runs; such figures say nothing of a GPU, and the file says so. ``gpu_page`` makes tables of the file.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import monai
import torch
import typer
from rich.console import Console

from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json
from clinical_qkt.core.runtime import device_here, mixed_precision
from clinical_qkt.research.benchmark import gpu_training, gpu_work
from clinical_qkt.research.benchmark.gpu_page import training_line, work_line
from clinical_qkt.research.benchmark.gpu_training import WAYS, Case
from clinical_qkt.research.benchmark.gpu_work import Work

TRAININGS = [
    ("resnet_small", 28, 4096, (64, 256)),
    ("resnet18_standard", 224, 1024, (64, 256)),
    ("resnet50_standard", 224, 1024, (64, 256)),
    ("densenet121", 224, 1024, (64,)),
    ("efficientnet_b0", 224, 1024, (64,)),
    ("resnet18_standard", 512, 256, (32,)),
    ("resnet50_standard", 512, 256, (32,)),
    ("densenet121", 512, 256, (16,)),
    ("efficientnet_b0", 512, 256, (32,)),
]
"""Network, pixels, images of an epoch, batch sizes."""
WORK = [
    Work("resnet_small", 28, 4096, 2048, private=1),
    Work("resnet18_standard", 224, 1024, 64),
    Work("resnet50_standard", 224, 1024, 64),
    Work("resnet18_standard", 512, 256, 16),
]
TINY = [("resnet_small", 28, 16, (8,)), ("resnet18_standard", 64, 8, (4,))]
TINY_WORK = [Work("resnet_small", 28, 64, 16, private=1)]


def measure(device: torch.device, seconds: float, repeats: int, ways: list[str]) -> Iterator[dict[str, Any]]:
    """All cases; tiny ones where there is no GPU. What was found is given after each, with what was before.

    Args:
        seconds: of each training, about.
        repeats: of everything; the fastest counts.
        ways: of ``gpu_training.WAYS``.
    """
    gpu, console = device.type == "cuda", Console(stderr=True, highlight=False)
    cases = [
        Case(network, pixels, batch, images, precision)
        for network, pixels, images, batches in (TRAININGS if gpu else TINY)
        for batch in batches
        for precision in (("single", "mixed") if gpu else ("single",))
    ]
    found: dict[str, Any] = {**_device(device), "training": [], "work": []}
    for case in cases:
        row = gpu_training.measured(case, device, seconds, ways, repeats)
        found["training"].append(row)
        console.print(training_line(row), soft_wrap=True)
        yield found
    for work in WORK if gpu else TINY_WORK:
        rows = gpu_work.measured(work, device, repeats)
        found["work"] += rows
        console.print("\n".join(work_line(row) for row in rows), soft_wrap=True)
        yield found


def _device(device: torch.device) -> dict[str, Any]:
    """What it was measured on, and with."""
    gpu = device.type == "cuda"
    mixed = mixed_precision(device)
    return {
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "memory_gb": round(torch.cuda.get_device_properties(device).total_memory / 1e9) if gpu else None,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "mixed_precision": str(mixed).removeprefix("torch.") if mixed else None,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "monai": monai.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if gpu else None,
        },
    }


def main(
    seconds: Annotated[float, typer.Option(min=0.01)] = 1.5,
    repeats: Annotated[int, typer.Option(min=1)] = 2,
    way: Annotated[list[str] | None, typer.Option()] = None,
    out: Annotated[Path, typer.Option()] = Path("runs/gpu_speed.json"),
) -> None:
    """Measure the device at hand."""
    device = device_here()
    if device.type != "cuda":
        print("note: there is no GPU here; tiny cases are run on the processor", file=sys.stderr)
    for found in measure(device, seconds, repeats, way or list(WAYS)):
        write_json(out, found)
    print(f"wrote {out}", file=sys.stderr)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
