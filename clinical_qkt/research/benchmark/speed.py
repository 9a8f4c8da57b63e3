"""What a transfer costs, as ratios taken side by side in one run.

    python -m clinical_qkt.research.benchmark.speed [--images 512] [--epochs 8] [--repeats 2] [--out FILE]

Against plain supervised fine-tuning for as many steps, and against a loop that asks every teacher in every
step; and with many sites of which few are relevant.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json
from clinical_qkt.core.runtime import device_here
from clinical_qkt.research.benchmark.speed_cases import Cases


def measure(images: int, epochs: int, repeats: int) -> dict[str, Any]:
    """Seconds, the least of the repeats, of each way; the ways take turns within each repeat."""
    device = device_here()
    ways = Cases.of(images, epochs, device).ways()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    todo = [name for _ in range(repeats) for name in ways]
    for name in track(todo, "measuring", transient=True):
        start = time.perf_counter()
        ways[name]()
        seconds[name].append(time.perf_counter() - start)
    least = {name: min(values) for name, values in seconds.items()}
    return {
        "device": device.type,
        "images": images,
        "epochs": epochs,
        "seconds": least,
        "ratios": _ratios(least),
    }


def _ratios(seconds: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What is told of them."""
    base, transfer = seconds["plain fine-tuning"], seconds["transfer, 4 relevant"]
    one, together = seconds["one network answers"], seconds["own model and 4 teachers answer"]
    ratios = {
        f"{n} relevant teachers": {
            "transfer / plain fine-tuning": seconds[f"transfer, {n} relevant"] / base,
            "heads for each / plain fine-tuning": seconds[f"heads, {n} relevant"] / base,
            "naive loop / transfer": seconds[f"naive loop, {n} relevant"]
            / seconds[f"transfer, {n} relevant"],
        }
        for n in (1, 4, 16)
    }
    return {
        **ratios,
        "64 sites against 8, 4 relevant, masks known": {
            "transfer / transfer": seconds["transfer, 4 relevant of 64"]
            / seconds["transfer, 4 relevant of 8"]
        },
        "a committee of 4 teachers": {
            "its answers / one network's": together / one,
            "its answers / transfer of 4": together / transfer,
        },
        "a network with heads for 4 teachers": {
            "its answers / one network's": seconds["a network with heads for 4 teachers answers"] / one,
        },
        "responses with statistics": {
            "a site's statistics / one network's answers": seconds["statistics of a site's images"] / one,
            "a head of 4 sites' statistics / transfer of 4": seconds["a head of 4 sites' statistics"]
            / transfer,
            "the classifier's answers / one network's": seconds["a classifier made of statistics answers"]
            / one,
        },
        "probing one model": {
            "probing / transfer of 4": seconds["probing one model for its mask"] / transfer
        },
    }


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
