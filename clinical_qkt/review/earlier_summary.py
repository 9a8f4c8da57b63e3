"""Summaries that an earlier version wrote: what was called otherwise then, under its present name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinical_qkt.review.summary_schema import SCHEMA

EARLIER = "clinical-qkt/transfer-summary/2"
_TOP = {"answers": "responses"}
_TEACHER = {"asked": "participant"}
_CRITERION = {"asked": "bound"}
_METHOD = {"ask": "participants", "answers": "soft_targets", "answer_noise": "soft_target_noise"}
"""From the names of version 2 to those of version 3, which means the same by them."""


def present(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A summary of version 2, as version 3 writes it. What is in it is for the reader to check.

    >>> present({"schema": EARLIER, "criteria": [{"name": "forgetting", "asked": "at most"}]})["criteria"]
    [{'name': 'forgetting', 'bound': 'at most'}]
    """
    parts = {"teachers": _TEACHER, "criteria": _CRITERION, "method": _METHOD}
    renamed = {key: _renamed(value, parts[key]) if key in parts else value for key, value in raw.items()}
    return {**_renamed(renamed, _TOP), "schema": SCHEMA}


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """A section, or each one of a list; what is neither stays. A new name meant nothing then."""
    if isinstance(part, list):
        return [_renamed(one, names) for one in part]
    if not isinstance(part, dict):
        return part
    return {names.get(key, key): value for key, value in part.items() if key not in names.values()}
