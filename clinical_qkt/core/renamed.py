"""Keys that have another name by now: for one version the old one is taken, too, with a warning."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

CONFIG = {"answers": "responses", "asked": "request", "answer_dir": "response_dir"}
"""Keys of a config, of a site's YAML and of a command line, which are the same."""


def under_new_names(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A section in which no key has its old name.

    Args:
        names: from old names to new ones.

    Raises:
        ValueError: a key is given under both.

    >>> under_new_names({"epochs": 3}, {"epoch": "epochs"})
    {'epochs': 3}
    """
    both = [old for old, new in names.items() if old in values and new in values]
    if both:
        raise ValueError(f"{both[0]}: is called '{names[both[0]]}' now, which is given, too: leave one out")
    for old in set(names) & set(values):
        warn(old, names[old])
    return {names.get(key, key): value for key, value in values.items()}


@cache
def warn(old: str, new: str) -> None:
    """Tell once that a key or an option has another name."""
    print(
        f"warning: '{old}' is called '{new}' now; the next version refuses the old name",
        file=sys.stderr,
    )
