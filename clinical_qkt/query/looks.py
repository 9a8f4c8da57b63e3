"""How the asker's own images look, and how an answering site's images look beside them.

The map of an exact response rests on the looks of classes that both sites know. What is left of the
difference after it shows in the features of these classes: the residual, see ``residual``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clinical_qkt.core.batches import at_once
from clinical_qkt.core.progress import bar
from clinical_qkt.core.rows import Rows
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look_shared import ClassLook, Compared, Looks, compared, looks_of, spread_of
from clinical_qkt.training.inference import Images, labels_of

BYTES = 64
"""Of memory that measuring a look takes, for each number of an image."""
FEWEST = 5
"""Patients of a class; fewer are too few for a look, and it could single them out."""


@dataclass(frozen=True, eq=False)
class AskersLooks:
    """What a query tells of how the asker's images look.

    Attributes:
        classes: looks of its own classes, by name.
        spread: ``(L,)`` between its own images of a class.
        means: ``{class: (D,)}``, the classes' mean features.
        others: further sites' looks, which they let it tell, under the asker's names.
    """

    classes: Looks
    spread: Tensor
    means: dict[str, Tensor]
    others: Sequence[Looks] = ()


def numbers_of(images: Images, given: InputContract) -> Tensor:
    """``(N, L)`` of prepared images, see ``data.look.measured``."""
    places = math.prod([given.channels, *given.spatial_size])
    batch = at_once(lambda n: BYTES * places * n)
    starts = range(0, len(images), batch)
    shown = ([images[i]["image"] for i in range(a, min(a + batch, len(images)))] for a in starts)
    found = Rows(len(images))
    with bar(len(images), "looks") as told:
        for part in shown:
            found.add(given.look_of(torch.stack([*map(torch.as_tensor, part)])))
            told.update(len(part))
    return found.all()


def askers_looks(
    images: Images,
    names: Sequence[str],
    given: InputContract,
    features: Tensor,
    whose: Sequence[str] | None = None,
    others: Sequence[Looks] = (),
) -> AskersLooks:
    """Of own training images with labels.

    Args:
        names: of the own classes; images of others are left out.
        features: ``(N, D)`` of these images.
        whose: the patient of each image; None if nobody is named.
    """
    labels = labels_of(images).tolist()
    rows = [i for i, label in enumerate(labels) if label < len(names)]
    numbers, classes = numbers_of(images, given)[rows], [names[labels[i]] for i in rows]
    people = None if whose is None else [whose[i] for i in rows]
    found = {c: told for c, told in looks_of(numbers, classes, people).items() if told.count >= FEWEST}
    means = {c: features[[i for i in rows if names[labels[i]] == c]].double().mean(0) for c in found}
    return AskersLooks(found, spread_of(numbers, classes), means, others)


def change(seen: Looks, asked: AskersLooks) -> Compared | None:
    """How an answering site's images look beside the asker's; None if nothing can be compared.

    Args:
        seen: the answering site's looks, under the asker's names.
    """
    enough: dict[str, ClassLook] = {c: told for c, told in seen.items() if told.count >= FEWEST}
    return compared(enough, asked.classes, asked.spread, asked.others)


def in_look(given: InputContract, found: Compared | None) -> InputContract:
    """A contract under which images get the asker's look, where theirs is another."""
    if found is None or found.alike:
        return given
    return given.model_copy(update={"look": found.map})


def sure(found: Compared | None) -> bool:
    """Whether an answer can be used beside others: its images look alike, or it is known how not.

    Where nothing leads from the one site's classes to the other's, an answer is left out if there are others.
    """
    return found is not None
