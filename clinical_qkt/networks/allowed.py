"""What an entry of the closed list of networks says; the entries are in ``listed``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

Literal = bool | int | float | str | list[int] | list[str]
Args = Mapping[str, Literal]


@dataclass(frozen=True)
class Allowed:
    """A network of the list.

    Attributes:
        make: builds it.
        channels, classes: its arguments for the input's channels and the head's rows.
        depths: its early stages, from whose outputs statistics are computed unless others are named.
        late: further stages, towards the last.
        others: which other arguments a card may give.
        blocks: how deep it is with such arguments, in units of about 7 ms of building and trying it. A block
            of a transformer, and one with squeeze and excitation, counts twice.
        presets: short names for the usual ones, with their arguments.
        fixed: arguments that nobody may change.
        small: those of its short names that are made for small pictures, of up to some 64 pixels: their first
            layer gives as many places as there are pixels.
        refused: what else is wrong with arguments; None if nothing.
        of_size: of a preset the arguments that follow from the images' size and from its own.
        tokens: its stages give ``(B, places, channels)`` and not ``(B, channels, *places)``.
    """

    make: Callable[..., nn.Module]
    channels: str
    classes: str
    depths: tuple[str, ...]
    late: tuple[str, ...]
    others: frozenset[str]
    blocks: Callable[[Args], int]
    presets: Mapping[str, dict[str, Literal]]
    fixed: dict[str, Any] = field(default_factory=dict)
    tokens: bool = False
    small: frozenset[str] = frozenset()
    refused: Callable[[Args], str | None] = lambda _: None
    of_size: Callable[[Sequence[int], Args], dict[str, Literal]] = lambda *_: {}
