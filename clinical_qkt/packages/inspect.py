"""What a package holds, and how two packages differ: for the eyes of people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from safetensors.torch import load_file

from clinical_qkt.data import look
from clinical_qkt.packages.card import Card, PackageCard
from clinical_qkt.packages.signing import Signed
from clinical_qkt.packages.verify import Verified
from clinical_qkt.privacy.statement import FEWEST, MembershipFigures

NONE = "–"
"""For a field that is not told."""
LOOKS = ("numbers", "spread", "seen", "wanted")
"""Fields of cards that hold the numbers of a look."""
_CHANNELS = {look.numbers(channels): channels for channels in range(1, 17)}
_WORDS = {
    "trusted": "signed with the key that this site trusts",
    "unsigned": "not signed: nobody vouches for it",
    "unknown key": "signed with a key that this site does not hold: nobody vouches for it",
    "made here": "not asked for: this site made it, as its record tells",
    "not checked": "not checked",
}


def print_verified(console: Console, found: Verified) -> None:
    """One line: whole, how large, whose."""
    console.print(
        f"whole and well-formed, {found.bytes:,} bytes; of '{escape(found.card.site)}'; "
        f"signature: {told(found.signed)}",
        soft_wrap=True,
    )


def told(signed: Signed) -> str:
    """What is known of a sender, in words."""
    return _WORDS[signed.state] + (f" ({signed.fingerprint})" if signed.fingerprint else "")


def print_diff(console: Console, a: Path, b: Path, cards: tuple[PackageCard, PackageCard]) -> bool:
    """Print how two verified packages differ, card and tensors; whether they do."""
    table = Table(title=f"{escape(str(a))} and {escape(str(b))}", title_justify="left")
    for heading in ("where", "first", "second"):
        table.add_column(heading, overflow="fold")
    rows = [*differences(cards[0].facts(), cards[1].facts()), *_tensor_differences(a, b, cards)]
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if rows:
        console.print(table)
    else:
        console.print("The same card and the same tensors.")
    return bool(rows)


def differences(one: Any, other: Any, at: str = "card") -> Iterator[tuple[str, str, str]]:
    """``(place, value, other value)`` for each field of two cards that is not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from differences(one.get(key, _ABSENT), other.get(key, _ABSENT), f"{at}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (x, y) in enumerate(zip(one, other, strict=True)):
            yield from differences(x, y, f"{at}.{i}")
    elif one != other:
        yield at, str(one), str(other)


def print_card(console: Console, card: PackageCard) -> None:
    """The card's fields as a table; of a model, what is known of its privacy in words."""
    table = Table(title=f"card of '{escape(card.site)}'", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for place, value in leaves(card.facts()):
        table.add_row(Text(place), Text(value))
    if isinstance(card, Card):
        table.add_section()
        for row in audit_rows(card):
            table.add_row(*row)
    console.print(table)


def audit_rows(card: Card) -> list[tuple[str, str]]:
    """What a model's card says of privacy, in words."""
    promise, audit = card.privacy.training, card.privacy.audit
    told = "none: without it a model may remember single patients"
    if promise:
        told = f"epsilon {promise.epsilon:g} at delta {promise.delta:g}, for each {promise.unit}"
    rows = [("differential privacy", told)]
    if audit is None:
        return [*rows, ("audit", "none was made")]
    for f in audit.figures:
        name = f"{f.attack.replace('_', ' ')}, {f.of.replace('_', ' ')}"
        rows.append((f"audit: {name}", f"AUC {f.auc:.2f} (0.5 is guessing), {_rates(f)}"))
    return rows


class _Absent:
    def __str__(self) -> str:
        return "–"


_ABSENT = _Absent()


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """``(place, value)`` of each field of a card, the nested ones too."""
    if isinstance(value, dict) and value:
        for key, v in value.items():
            yield from leaves(v, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and at.rpartition(".")[2] in LOOKS and len(value) in _CHANNELS:
        yield at, look_told(value)
    elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        yield at, value[0]
    elif isinstance(value, list) and value and isinstance(value[0], dict | str):
        for i, v in enumerate(value):
            yield from leaves(v, f"{at}.{i}")
    else:
        few = value is None and at.startswith("training.images.")
        told = NONE if value is None or value == [] or value == {} else str(value)
        yield at, f"fewer than {FEWEST}" if few else told


def look_told(numbers: list[float]) -> str:
    """A look's numbers, each with its name; tones and sharpness have no unit, see ``data.look``.

    >>> look_told([0.25, 0.0729, -1.0, -1.5, -2.0, -2.5, -3.0, -3.5])[:42]
    'mean 0.25, variance 0.0729, sharpness 1 -1'
    """
    named = zip(look.names(_CHANNELS[len(numbers)]), numbers, strict=True)
    return ", ".join(f"{name} {value:.3g}" for name, value in named)


def _tensor_differences(
    a: Path, b: Path, cards: tuple[PackageCard, PackageCard]
) -> Iterator[tuple[str, str, str]]:
    one, other = (load_file(f / c.TENSORS) for f, c in zip((a, b), cards, strict=True))
    for name in dict.fromkeys([*one, *other]):
        x, y = one.get(name), other.get(name)
        if x is None or y is None or x.shape != y.shape:
            yield f"tensor {name}", _shape(x), _shape(y)
        elif not torch.equal(x, y):
            most = float((x.double() - y.double()).abs().max())
            yield f"tensor {name}", "", f"differs by {most:.3g} at most"


def _rates(figures: MembershipFigures) -> str:
    rates = [("1 %", figures.tpr_at_1_percent), ("0.1 %", figures.tpr_at_01_percent)]
    told = [f"{100 * r:.1f} % found at {at} false alarms" for at, r in rates if r is not None]
    return ", ".join(told) or "too few images to tell how many are found at few false alarms"


def _shape(tensor: torch.Tensor | None) -> str:
    return "–" if tensor is None else str(list(tensor.shape))
