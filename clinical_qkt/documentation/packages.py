"""JSON Schemas of all cards, and the tables of ``docs/reference/packages.md``, both made from the models.

``python -m clinical_qkt.documentation.reference`` writes them, with all other references.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clinical_qkt.core.schema import DIALECT
from clinical_qkt.documentation.schema_tables import between_marks, plain, table, tidied
from clinical_qkt.networks import committee, registry
from clinical_qkt.packages import plain_json, reader, tensor_table
from clinical_qkt.packages.assessment import AssessmentCard
from clinical_qkt.packages.card import Card, PackageCard
from clinical_qkt.packages.model import LARGEST_OUTPUT
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.packages.response import ResponseCard

CARDS: dict[str, type[PackageCard]] = {
    "model": Card,
    "query": QueryCard,
    "answer": ResponseCard,
    "assessment": AssessmentCard,
}
PAGE = Path("docs/reference/packages.md")
SCHEMAS = Path("configs/schemas")


def schema(card: type[PackageCard]) -> dict[str, Any]:
    """A card's JSON Schema.

    It says what each field may hold by itself. What fields have to be together, and with the tensors, only
    the software checks.
    """
    made = tidied(card.model_json_schema())
    made["properties"]["software"].pop("default")  # else each version would have a schema of its own
    kind = made["properties"]["format"].pop("default")  # a reader wants it to be named
    made["required"] = ["format", *made["required"]]
    return {"$schema": DIALECT, "title": kind, **{k: v for k, v in made.items() if k != "title"}}


def files(root: Path) -> dict[Path, str]:
    """Every file that is made, with its text; of the page only what stands between marks is replaced."""
    schemas = {name: schema(card) for name, card in CARDS.items()}
    made = {
        root / SCHEMAS / f"{name}_card.json": json.dumps(s, indent=2, ensure_ascii=False) + "\n"
        for name, s in schemas.items()
    }
    blocks = {f"{name}_card": table(s) for name, s in schemas.items()}
    blocks["parts"] = "\n\n".join(
        f"### `{name}`\n\n{plain(part['description'])}\n\n{table(part)}"
        for name, part in parts(schemas).items()
    )
    blocks["limits"] = limits()
    page = (root / PAGE).read_text(encoding="utf-8")
    for name, block in blocks.items():
        page = between_marks(page, "clinical_qkt.documentation.packages", name, block)
    made[root / PAGE] = page
    return made


def limits() -> str:
    """What no package may exceed, whatever its card says."""
    rows = [
        *((f"`{name}`", f"{size:,} bytes") for name, size in reader.MAX_BYTES.items()),
        ("the tensors' file", f"{reader.MAX_TENSOR_BYTES:,} bytes"),
        (
            "its table of names",
            f"{tensor_table.MAX_HEADER_BYTES:,} bytes, {tensor_table.MAX_TENSORS:,} tensors",
        ),
        ("nesting of a card", f"{plain_json.MAX_DEPTH}"),
        ("values in a card", f"{plain_json.MAX_VALUES:,}"),
        ("a key in a card", f"{plain_json.MAX_KEY} characters"),
        ("digits of a whole number", f"{plain_json.MAX_DIGITS}"),
        ("depth of a network", f"{registry.MOST_BLOCKS} blocks; of a committee {committee.MOST_BLOCKS}"),
        ("what one layer gives for one image", f"{LARGEST_OUTPUT:,} numbers"),
    ]
    return "\n".join(["| of | at most |", "| --- | --- |", *(f"| {what} | {most} |" for what, most in rows)])


def parts(schemas: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What stands inside cards, each once, in the order in which a reader meets it."""
    found: dict[str, dict[str, Any]] = {}
    for made in schemas.values():
        open_: list[dict[str, Any]] = [made]
        while open_:
            for name in _named(open_.pop(0)["properties"]):
                if name not in found:
                    found[name] = made["$defs"][name]
                    open_.append(found[name])
    return found


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
