"""What lies beside an exported model, and in it: what it takes, what it gives, whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from clinical_qkt.core.files import sha256
from clinical_qkt.core.values import Strict
from clinical_qkt.core.version import __version__
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.evidence.gate import Door
from clinical_qkt.export.compared import Compared
from clinical_qkt.export.gate import columns
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.writer import CARD

Format = Literal["torchscript", "onnx", "bundle"]
FILE = "contract.json"
MEANS = {
    "display": "brightness as displayed, 0 (black) to 255 (white)",
    "HU": "Hounsfield units",
    "relative": "0 to 1 between the 1st and the 99th percentile of its volume",
}
AXES = {2: ["batch", "channel", "width", "height"], 3: ["batch", "channel", "right", "front", "top"]}
"""Of volumes: from left to right, from back to front, from bottom to top (RAS)."""


class Taken(Strict):
    """The one input."""

    name: str = "image"
    """Of the input."""
    shape: list[str | int]
    """``batch`` may be any number; the others are as they stand here."""
    axes: list[str]
    """What each axis is; of volumes towards which side of the patient its numbers grow."""
    dtype: str = "float32"
    """Of the numbers."""
    channels: list[str]
    """In order."""
    intensity: str
    """What the numbers mean: raw intensities, neither scaled nor normalised."""
    intensity_range: tuple[float, float]
    """What the model tells apart; what lies beyond is clipped by the model."""
    placing: str
    """How an image gets its size."""


class Given(Strict):
    """The output; the first of two where there is a gate."""

    name: str = "logits"
    """Of the output."""
    shape: list[str | int]
    """One row an image, one column a class."""
    classes: list[ClassLabel]
    """In the order of the columns."""
    probabilities: str = "softmax of the logits over the classes"
    """What makes probabilities of them."""


class NoneOfThese(Strict):
    """The second output: by how much an image misses the gate."""

    name: str = "none_of_these"
    """Of the output."""
    shape: list[str | int]
    """One row an image."""
    columns: list[str]
    """What each says."""
    rule: str = "above 0 in any column: the image shows none of these classes"
    """What follows."""
    score: str
    """Of the logits: max_probability, margin (between the two highest logits), max_logit or energy."""
    threshold: float
    """The least score that passes."""


class ExportContract(Strict):
    """The whole of ``contract.json``; holds nothing of any patient.

    A gate that is in the model describes the site's own pictures by a few numbers, of which the threshold is
    here, too.
    """

    format: Literal["clinical-qkt/export/1"] = "clinical-qkt/export/1"
    """The version of this schema."""
    software: str = f"clinical-qkt {__version__}"
    """What wrote it."""
    made_as: Format
    """How the model is kept."""
    site: str
    """Pseudonym of the site whose package it was made of."""
    task: str
    """What is classified."""
    network: str
    """The kind, as the package's card names it."""
    card_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the package's card."""
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the package's tensors."""
    input: Taken
    """What the model takes."""
    output: Given
    """What it gives."""
    none_of_these: NoneOfThese | None = None
    """What it gives beside, where its gate was taken along."""
    inside: list[str]
    """What the model does itself, in this order."""
    not_inside: list[str]
    """What it does not do."""
    prepared: InputContract
    """The package's own input contract."""
    generated_data: bool
    """Made from generated images, not from patients."""
    licence: list[str]
    """Of all models that are in it."""
    intended_use: str
    """What it is for."""
    compared: Compared
    """How it was held against the original before it was written."""


def of(model: Model, made_as: Format, found: Compared, door: Door | None = None) -> ExportContract:
    """The contract of a package's model.

    Args:
        found: how it was compared with the original.
        door: the gate that is in it.
    """
    card, given = model.card, model.card.input
    licence = [card.licence] if isinstance(card.licence, str) else [*card.licence]
    return ExportContract(
        made_as=made_as,
        site=card.site,
        task=card.task,
        network=card.network.name,
        card_sha256=sha256(model.folder / CARD),
        weights_sha256=card.weights_sha256,
        input=Taken(
            shape=["batch", given.channels, *given.spatial_size],
            axes=AXES[len(given.spatial_size)],
            channels=_channels(given),
            intensity=MEANS[given.intensity],
            intensity_range=given.intensity_range,
            placing=_placing(given),
        ),
        output=Given(shape=["batch", len(card.label_space)], classes=[*card.label_space]),
        none_of_these=_none_of_these(door) if door else None,
        inside=_inside(given),
        not_inside=_not_inside(made_as, given, door),
        prepared=given,
        generated_data=card.generated_data,
        licence=licence,
        intended_use=card.intended_use,
        compared=found,
    )


def _none_of_these(door: Door) -> NoneOfThese:
    told = columns(door)
    return NoneOfThese(shape=["batch", len(told)], columns=told, score=door.score, threshold=door.threshold)


def _channels(given: InputContract) -> list[str]:
    named = {1: ["grey"], 3: ["red", "green", "blue"]}
    return named.get(given.channels, [str(c) for c in range(given.channels)])


def _placing(given: InputContract) -> str:
    size = "x".join(map(str, given.spatial_size))
    if given.spacing is None:
        return f"resized to {size} by averaging areas (torch.nn.functional.interpolate, mode 'area')"
    spacing = "x".join(f"{s:g}" for s in given.spacing)
    return f"resampled linearly to {spacing} mm, then cropped or padded around the centre to {size}"


def _inside(given: InputContract) -> list[str]:
    steps = ["the look of the images is brought to that of the training images"] if given.look else []
    ends = [f"{low:g} to {high:g}" for low, high in (given.intensity_range, given.value_range)]
    steps.append(f"intensities of {ends[0]} become {ends[1]}, linear and clipped")
    if given.mean:
        steps.append(f"{_told(given.mean)} is subtracted, then it is divided by {_told(given.std)}")
    return [
        *steps,
        "the network",
        "its head as the package has it, with biases that a transfer raised within a forgetting budget",
    ]


def _not_inside(made_as: Format, given: InputContract, door: Door | None) -> list[str]:
    left = ["size and spacing: see input.placing"] if made_as != "bundle" else []
    if given.intensity == "relative":
        left.append("the percentiles of a volume: files hold intensities from 0 to 1")
    if door is None:
        left.append("'none of these': a gate that lies beside a gained model comes along with --gate")
    if made_as == "onnx":
        left.append("a check of what the numbers mean: TorchScript refuses what cannot be meant, ONNX cannot")
    return left


def _told(numbers: Sequence[float]) -> str:
    return ", ".join(f"{n:g}" for n in numbers)
