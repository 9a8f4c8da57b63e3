"""The query package: what a student sends to ask for statistics. Data, never code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import Field

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.errors import InputError, PackageError
from clinical_qkt.files import sha256
from clinical_qkt.labels import DistinctClasses
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.extractor import Extractor, ExtractorSpec, describe
from clinical_qkt.packages.folder import (
    CARD,
    RESEND,
    package_bytes,
    read_card,
    read_tensors,
    write_package,
)
from clinical_qkt.packages.networks import reshape_head
from clinical_qkt.statistics import Kind


class QueryCard(PackageCard):
    """What a student asks for.

    Attributes:
        extractor: the network and the depths whose outputs are pooled; weights lie beside the card.
        input: what the extractor expects of an image.
        query: the classes, with codes where there are any.
        welcome: the kinds of answer that the student can use; the site decides which it gives.
        radius: longer features are clipped to that in a private answer. The asker sets it, so it tells
            nothing of the answering site's patients.
        model_sha256: of the weights of the student's model when it asked.
    """

    TENSORS: ClassVar[str] = "extractor.safetensors"

    format: Literal["clinical-qkt/query/1"] = "clinical-qkt/query/1"
    extractor: ExtractorSpec
    input: InputContract
    query: DistinctClasses = Field(min_length=1, max_length=100)
    welcome: list[Kind] = Field(min_length=1, max_length=4)
    radius: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str = Field(default="to answer this query only", max_length=200)


@dataclass
class Query:
    """A query package, ready for use.

    Attributes:
        extractor: on the CPU, its map in float64.
        digest: of the card, which holds the digest of the weights: it names the query.
    """

    card: QueryCard
    extractor: Extractor
    digest: str
    bytes: int


def save_query(folder: Path, extractor: Extractor, card: QueryCard) -> QueryCard:
    """Write a query package; later stages and the head, on which no feature depends, leave as zeros."""
    bare = Extractor(extractor.spec, reshape_head(extractor.network, {}, 1))
    _blank_unused(bare.eval(), card.input)
    bare.center, bare.projection = extractor.center.float(), extractor.projection.float()
    return write_package(folder, card, bare.state_dict())


def _blank_unused(extractor: Extractor, given: InputContract) -> None:
    """Set to zero, in place, every weight that the features do not depend on; found by their gradients."""
    extractor.requires_grad_(True)
    device = next(extractor.network.parameters()).device
    _, pooled = extractor.pooled(torch.zeros(1, given.channels, *given.spatial_size, device=device))
    pooled.sum().backward()
    with torch.no_grad():
        for module in extractor.network.modules():
            weights = list(module.parameters(recurse=False))
            if weights and all(w.grad is None for w in weights):
                for tensor in (*weights, *module.buffers(recurse=False)):
                    tensor.zero_()


def load_query(folder: str | Path) -> Query:
    """Load a query package after checking it from the outside in.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    folder = Path(folder)
    card = read_card(folder, QueryCard)
    spec = card.extractor
    try:
        extractor = spec.build(1)
        shapes = {name: list(tensor.shape) for name, tensor in extractor.state_dict().items()}
        extractor.load_state_dict(read_tensors(folder / card.TENSORS, shapes))
        pooled = describe(extractor.network, spec.network, spec.depths, card.input).pooled
    except (InputError, RuntimeError) as e:
        problem = e.problem if isinstance(e, InputError) else "cannot take the images that it asks for"
        raise PackageError(f"the extractor {problem}", where=str(folder / CARD), fix=RESEND) from None
    if pooled != spec.pooled:
        raise PackageError(
            f"the extractor pools {pooled} numbers, {spec.pooled} are declared",
            where=str(folder / CARD),
            fix=RESEND,
        )
    digest, size = sha256(folder / CARD), package_bytes(folder)
    torch.nn.Module.requires_grad_(extractor, False)
    return Query(card, extractor.eval().double_map(), digest, size)
