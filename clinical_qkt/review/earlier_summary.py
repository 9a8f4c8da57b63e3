"""Summaries that earlier versions wrote: what was called otherwise then, under its present name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinical_qkt.review.summary_schema import SCHEMA

VERSION_2, VERSION_3, VERSION_4 = (f"clinical-qkt/transfer-summary/{version}" for version in (2, 3, 4))
EARLIER = (VERSION_2, VERSION_3, VERSION_4)
_TOP = {"answers": "responses"}
_TEACHER = {"asked": "participant"}
_CRITERION = {"asked": "bound"}
_METHOD = {"ask": "participants", "answers": "soft_targets", "answer_noise": "soft_target_noise"}
"""From the names of version 2 to those of version 3, which means the same by them."""


def present(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A summary of version 2 to 4, as version 5 writes it. What is in it is for the reader to check.

    Up to version 4 nobody looked at how other sites' images look, and it decided nothing.

    >>> old = {"schema": VERSION_2, "criteria": [{"name": "forgetting", "asked": "at most"}]}
    >>> present(old)["criteria"]
    [{'name': 'forgetting', 'bound': 'at most'}]
    """
    told = _of_version_3(raw) if raw["schema"] == VERSION_2 else dict(raw)
    if raw["schema"] != VERSION_4 and isinstance(method := told.get("method"), dict):
        told["method"] = method | {"fit": _fit(method.get("fit"))}
    return told | {"schema": SCHEMA, "looks": None}


def _of_version_3(raw: Mapping[str, Any]) -> dict[str, Any]:
    parts = {"teachers": _TEACHER, "criteria": _CRITERION, "method": _METHOD}
    renamed = {key: _renamed(value, parts[key]) if key in parts else value for key, value in raw.items()}
    return _renamed(renamed, _TOP)  # type: ignore[no-any-return]


def _fit(old: Any) -> Any:
    """How the budget was spent up to version 3: on validation images, by their estimates, with no promise.

    >>> _fit({"val_points_spent": 0.5, "val_points_worst": 2.0, "val_within_budget": True})["loss"]
    {'mean': 0.5, 'mean_bound': None, 'worst': 2.0, 'worst_bound': None}
    """
    if not isinstance(old, dict):
        return old
    within = old.get("val_within_budget")
    return {
        "bias": old.get("bias", []),
        "false_alarms": old.get("val_false_alarms"),
        "state": "estimated" if within is True else "not kept" if within is False else within,
        "loss": {
            "mean": old.get("val_points_spent"),
            "mean_bound": None,
            "worst": old.get("val_points_worst"),
            "worst_bound": None,
        },
    }


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """A section, or each one of a list; what is neither stays. A new name meant nothing then."""
    if isinstance(part, list):
        return [_renamed(one, names) for one in part]
    if not isinstance(part, dict):
        return part
    return {names.get(key, key): value for key, value in part.items() if key not in names.values()}
