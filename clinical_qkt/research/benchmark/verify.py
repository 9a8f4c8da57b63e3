"""What it costs to check a package, beside reading its files.

    python -m clinical_qkt.research.benchmark.verify [--repeats 5] [--out FILE]

Signed packages of a small and of a ResNet-18 network: digests, signature, card and tensors are checked, and
the network is ready for use. Libraries are imported and files are in the system's memory before that.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.packages.signing import Trust, new_key


def measure(network: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Bytes, and seconds, the least of the repeats, for reading and for checking and loading."""
    private, public, _ = new_key("sender", folder / network)
    spec = preset(network, 3, [28, 28])
    model = spec.build(4)
    given = InputContract(channels=3, spatial_size=[28, 28])
    card = Card(
        site="sender",
        task="t",
        label_space=[ClassLabel(name=name) for name in "abcd"],
        network=spec,
        head=find_head(model),
        input=given,
    )
    package = folder / network / "package"
    save_model(package, model, card, signing_key=private)

    def read() -> int:
        return sum(len(p.read_bytes()) for p in package.iterdir())

    def check() -> None:
        load_model(package, Trust({"sender": public}))

    check()
    reading, checking = _least(read, repeats), _least(check, repeats)
    return {
        "network": network,
        "bytes": read(),
        "read_seconds": reading,
        "verify_and_load_seconds": checking,
        "beyond_reading_seconds": checking - reading,
        "ratio": checking / reading,
    }


def _least(work: Callable[[], Any], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main(
    repeats: Annotated[int, typer.Option(min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Print and write the figures."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(network, Path(folder), repeats) for network in ("resnet_small", "resnet18")]
    console = Console()
    for row in rows:
        console.print(
            f"{row['network']}, {row['bytes'] / 1e6:.1f} MB: read {row['read_seconds']:.3f} s, "
            f"verify and load {row['verify_and_load_seconds']:.3f} s, "
            f"{row['beyond_reading_seconds']:.3f} s beyond reading "
            f"({row['ratio']:.0f} times as long)",
            soft_wrap=True,
        )
    if out:
        write_json(out, rows)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
