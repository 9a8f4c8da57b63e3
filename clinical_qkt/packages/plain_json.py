"""A card's text from another site: JSON in its plainest form, and nothing that somebody could take for code.

All that follows reads the values that come out of here: labels are printed, written to MLflow, drawn into
figures. So what could steer a terminal, a reader's eye or MONAI's config parser is refused here, once.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

MAX_DEPTH = 16
"""Of nesting. The deepest card there is, a committee's, needs eight."""
MAX_DIGITS = 18
MAX_VALUES, MAX_KEY = 100_000, 200
"""Values in a card, and characters of a key."""
MOST_FOUND = 100
"""Problems after which no more are looked for."""
_EXPRESSION = ("$", "@", "%")
"""With these MONAI's configs mark expressions, references and macros."""
_DIRECTIVE = re.compile(r"_\w+_")
"""``_target_`` and its kin."""
_PROSE = ("licence", "intended_use")
"""The fields that may have more than one line."""
_JOINERS = "\u200c\u200d"
"""Without which some scripts cannot be written."""
_TOO_DEEP = f"is nested more than {MAX_DEPTH} deep"


def parse(raw: bytes, max_values: int = MAX_VALUES) -> Any:
    """JSON text to plain data.

    Raises:
        ValueError: it is not JSON, not UTF-8, holds a key twice, NaN or infinity, is nested too deep, or
            holds too many values or too long a key.
    """
    if sum(raw.count(mark) for mark in b",[{") > max_values:  # before memory is taken for them
        raise ValueError(f"holds more than {max_values:,} values")
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_number
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("is not JSON") from None
    _require_modest(value)
    return value


def problems(value: Any) -> list[str]:
    """What no card may hold, wherever it stands; each with its place.

    Args:
        value: as ``parse`` gives it.
    """
    found: list[str] = []
    open_: list[tuple[str, Any]] = [("", value)]
    while open_ and len(found) < MOST_FOUND:
        place, part = open_.pop()
        parts: list[tuple[str, Any]] = []
        if isinstance(part, dict):
            parts = list(part.items())
            found += [f"{_shown(place)}: a key {told}" for key in part if (told := _of_key(key))]
        elif isinstance(part, list):
            parts = [(str(i), v) for i, v in enumerate(part)]
        elif isinstance(part, str) and (told := _of_text(part, prose=place.partition(".")[0] in _PROSE)):
            found.append(f"{_shown(place)}: {told}")
        elif isinstance(part, float) and not math.isfinite(part):
            found.append(f"{_shown(place)}: is not a finite number")
        open_ += [(f"{place}.{key}" if place else key, v) for key, v in parts]
    return found[:MOST_FOUND]


def _require_modest(value: Any) -> None:
    """
    Raises:
        ValueError: it is nested too deep, or holds too long a key.
    """
    level = [value]  # without recursion, level by level
    for _ in range(MAX_DEPTH + 1):
        if any(len(key) > MAX_KEY for part in level if isinstance(part, dict) for key in part):
            raise ValueError(f"holds a key of more than {MAX_KEY} characters")
        within = [p.values() if isinstance(p, dict) else p for p in level if isinstance(p, dict | list)]
        level = [v for part in within for v in part]
    if level:
        raise ValueError(_TOO_DEEP)


def _of_key(key: str) -> str | None:
    return "is a directive of a MONAI config" if _DIRECTIVE.fullmatch(key) else _of_text(key)


def _of_text(text: str, *, prose: bool = False) -> str | None:
    if text.lstrip().startswith(_EXPRESSION):
        return "looks like an expression of a MONAI config; nothing from a package is evaluated"
    for c in text:
        steers = unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in _JOINERS
        if steers and not (prose and c in "\n\t"):
            return f"holds the control character U+{ord(c):04X}"
    return None


def _shown(place: str) -> str:
    """A place that is safe to print: its keys come from another site, too."""
    return "".join(c if c.isprintable() else "?" for c in place)[:200]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("holds a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which is no JSON")


def _number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"holds a number of {len(digits)} digits")
    return int(digits)
