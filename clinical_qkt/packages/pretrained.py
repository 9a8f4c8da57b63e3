"""Pretrained weights as cards tell of them: whose they are, and what may be done with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import Field

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.terms import TrainedLayers
from clinical_qkt.core.values import Sent

UNKNOWN = "unknown"
"""What a file does not say: it is not guessed."""
MOST = 200
"""Entries on a card."""
LONGEST = 500
"""Characters of a source or a licence."""
SHA256 = r"^[0-9a-f]{64}$"


class PretrainedWeights(Sent):
    """One file of weights that a training started from."""

    sha256: str = Field(pattern=SHA256)
    """The digest of the file, a safetensors."""
    name: str = Field(default=UNKNOWN, min_length=1, max_length=200)
    """What it is called, as the file says; ``unknown`` where it does not."""
    source: str = Field(default=UNKNOWN, min_length=1, max_length=LONGEST)
    """Where it comes from, as the file says; ``unknown`` where it does not."""
    licence: str = Field(default=UNKNOWN, min_length=1, max_length=LONGEST)
    """What may be done with it, as the file says; ``unknown`` where it does not."""
    trained_layers: TrainedLayers = "all"
    """What was trained after that; with ``head`` all else is the file's to the bit."""

    @property
    def told(self) -> str:
        """In words.

        >>> PretrainedWeights(sha256="0" * 64, name="lite0").told
        'lite0 (sha256 000000000000…), source unknown, licence unknown'
        """
        return f"{self.name} (sha256 {self.sha256[:12]}…), source {self.source}, licence {self.licence}"


Pretrained = Annotated[list[PretrainedWeights], Field(max_length=MOST)]
"""On a card: of a model that was made of several one for each file."""


def joined(each: Iterable[Sequence[PretrainedWeights]]) -> list[PretrainedWeights]:
    """What all models were started from that one was made of, each entry once, in their order.

    Raises:
        InputError: they are too many for a card.
    """
    found = list(dict.fromkeys(one for entries in each for one in entries))
    if len(found) > MOST:
        raise InputError(
            f"the models were started from {len(found)} files of weights; a card takes {MOST}",
            where="teachers",
            fix="list fewer teachers in the site's YAML",
        )
    return found


def notes_of(notes: dict[str, str], sha256: str, trained_layers: TrainedLayers) -> dict[str, Any]:
    """An entry's fields from a file's own words; without a word they are left out, and so unknown."""
    told = {key: re.sub(r"\s+", " ", notes.get(key, "")).strip() for key in ("name", "source", "licence")}
    return {"sha256": sha256, "trained_layers": trained_layers, **{k: v for k, v in told.items() if v}}
