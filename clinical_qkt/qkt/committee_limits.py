"""Whether models can sit in one committee: told before any is probed, and again with their masks."""

from __future__ import annotations

from collections.abc import Sequence

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.core.memory import bytes_told
from clinical_qkt.networks.committee import (
    MAX_CLASSES,
    MAX_MEMBERS,
    MOST_BLOCKS,
    MOST_COLUMNS,
    CommitteeSpec,
)
from clinical_qkt.packages.model import CardedNetwork
from clinical_qkt.packages.reader import MAX_TENSOR_BYTES
from clinical_qkt.qkt.one_body import one_body

FIX = f"list fewer than {MAX_MEMBERS} with at most {MAX_CLASSES} classes, or ask only the relevant"


def require_room(own: CardedNetwork, others: Sequence[CardedNetwork], rows: int, classes: int) -> None:
    """Refuse a committee whose card or weights nobody could read.

    Args:
        own: the student's model.
        others: the teachers'.
        rows: of their heads, that speak for a class; as long as they were not probed at least one each.
        classes: for which anybody speaks; at least the student's and the queried ones.

    Raises:
        PackageError: one is a committee itself.
        InputError: they are too many, too deep or too large together.
    """
    everyone = [own, *others]
    for model in everyone:
        if isinstance(model.card.network, CommitteeSpec):
            raise PackageError(
                "is itself a committee",
                where=f"package of {model.card.site}",
                fix="take it out of 'teachers', or ask for the model that the site trained itself",
            )
    bodies = everyone[:1] if one_body(everyone) else everyone
    networks = [model.card.network for model in bodies]
    blocks = sum(n.blocks for n in networks if not isinstance(n, CommitteeSpec))
    weights = sum(_bytes(model) for model in bodies)
    problems = {
        f"over {classes} classes is too large": len(everyone) > MAX_MEMBERS or classes > MAX_CLASSES,
        f"is too deep: {blocks} blocks, at most {MOST_BLOCKS} can be": blocks > MOST_BLOCKS,
        f"is too large: {rows:,} rows of heads, at most {MOST_COLUMNS:,} can be": rows > MOST_COLUMNS,
        f"is too large: {bytes_told(weights)} of weights, at most {bytes_told(MAX_TENSOR_BYTES)} can be": (
            weights > MAX_TENSOR_BYTES
        ),
    }
    if told := next((told for told, so in problems.items() if so), None):
        raise InputError(f"a committee of {len(everyone)} models {told}", where="teachers", fix=FIX)


def _bytes(model: CardedNetwork) -> int:
    return sum(value.numel() * value.element_size() for value in model.network.state_dict().values())
