"""What a JSON Schema says, as tables for people; and blocks of a page that are made by a program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from clinical_qkt.core.schema import SHOWN
from clinical_qkt.core.terms import PSEUDONYM

_WORDS = {
    PSEUDONYM: "letters, digits, `_ . -`; up to 64, the first one a letter or digit",
    r"^\d{4}-\d{2}-\d{2}$": "date, YYYY-MM-DD",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits",
    r"^([0-9a-f]{64})?$": "64 hexadecimal digits",
}
"""What the patterns on cards mean."""
_NAMES = {"integer": "whole number", "number": "number", "boolean": "true or false"}


def between_marks(page: str, by: str, name: str, block: str) -> str:
    """A page of which one block is replaced.

    Args:
        by: the module that makes the block; both stand in the marks around it.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- made by {by}: {name} -->", f"<!-- end: {name} -->"
    marks = f"{re.escape(begin)}.*?{re.escape(end)}"
    new, found = re.subn(marks, lambda _: f"{begin}\n{block}\n{end}", page, count=1, flags=re.S)
    if not found:
        raise ValueError(f"the page lacks the marks {begin} and {end}")
    return new


def table(described: dict[str, Any]) -> str:
    """Every field of a card, or of a part of one: name, type and limits, what it is without, meaning."""
    needed = described.get("required", ())
    rows = ["| field | type and limits | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in described["properties"].items():
        default = "required" if name in needed else _default(field)
        rows.append(f"| `{name}` | {limited(field)} | {default} | {plain(field['description'])} |")
    return "\n".join(rows)


def limited(field: dict[str, Any]) -> str:
    """A field's type and limits in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    either = field.get("anyOf") or field.get("oneOf")
    if either:
        return "; or ".join(limited(one) for one in either)
    kind = field["type"]
    if kind == "array":
        if "prefixItems" in field:
            return f"{len(field['prefixItems'])} numbers"
        return f"list of {_span(field, 'minItems', 'maxItems')}{limited(field['items'])}"
    if kind == "object":
        most = f", up to {field['maxProperties']:,} names" if "maxProperties" in field else ""
        held = field["additionalProperties"] if "additionalProperties" in field else _only(field)
        return f"by name{most}: {limited(held)}"
    if "pattern" in field:
        return _WORDS.get(field["pattern"], f"`{field['pattern']}`".replace("|", r"\|"))
    if field.get("format") == "path":
        return "path"
    if kind == "string":
        return "text" + (f", up to {field['maxLength']:,} characters" if "maxLength" in field else "")
    return _NAMES.get(kind, kind) + bounds(field)


def undescribed(described: dict[str, Any]) -> Iterator[str]:
    """The fields of a schema, nested ones too, that nobody explained."""
    for part, what in {"": described, **described.get("$defs", {})}.items():
        for name, field in what["properties"].items():
            if not field.get("description"):
                yield f"{part}.{name}"


def tidied(made: Any) -> Any:
    """Without the titles that pydantic makes of the fields' names, and with descriptions on one line."""
    if isinstance(made, list):
        return [tidied(value) for value in made]
    if not isinstance(made, dict):
        return made
    tidy = {k: tidied(v) for k, v in made.items() if not (k == "title" and isinstance(v, str))}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].split())
    return tidy


def _only(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object's values, whose keys have one pattern."""
    (values,) = field["patternProperties"].values()
    return values


def _default(field: dict[str, Any]) -> str:
    if SHOWN in field:
        return str(field[SHOWN])
    if "default" not in field:
        return "set by the software"
    value = field["default"]
    inner = value.values() if isinstance(value, dict) else value
    if value == "" or (isinstance(value, dict | list) and not any(inner)):
        return "empty"
    return f"`{json.dumps(value)}`"


def bounds(field: dict[str, Any]) -> str:
    """A number's limits in words, with a comma before them; none if there are none."""
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f", {_number(low)} to {_number(high)}"
    above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    told = (("from", low), ("above", above), ("at most", high), ("below", below))
    return "".join(f", {words} {_number(value)}" for words, value in told if value is not None)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _span(field: dict[str, Any], least: str, most: str) -> str:
    low, high = field.get(least, 0), field.get(most)
    if high is None:
        return f"{low:,} or more: " if low else ""
    if low == high:
        return f"{low:,}: "
    return f"{low:,} to {high:,} of: "


def plain(description: str) -> str:
    return description.replace("``", "`").replace("|", r"\|")
