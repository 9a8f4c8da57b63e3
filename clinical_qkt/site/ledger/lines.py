"""The ledger's lines: what was requested, what left and what was told; how they are written and found."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clinical_qkt.core.terms import EXACT, Unit
from clinical_qkt.privacy.composition import Spent
from clinical_qkt.site.ledger import file
from clinical_qkt.site.ledger.file import MASK

Told = Mapping[tuple[bool, float], bool]
"""What was told of one class of a mask, by whether the model knew it, and at which epsilon."""


@dataclass(frozen=True)
class Requested:
    """What makes an answer the same answer.

    Attributes:
        site: who asks.
        query_sha256: of the query's card, on which the length stands that contributions are clipped to.
        label: the class's name as in the query.
        kind: of the answer.
        data_sha256: of the answering site's datalist; it is written down, and makes no difference.
        unit: whom the answer protects.
        form: of the release, such as a package's format: numbers of one form are no answer in another.
        own_site, own_class: who answers, and its own name of the class; of several, see ``together``.
    """

    site: str
    query_sha256: str
    label: str
    kind: str
    data_sha256: str
    unit: Unit = "patient"
    form: str = ""
    own_site: str = ""
    own_class: str = ""


_BETWEEN = "\n"
"""Of classes that are answered for as one; no name has it."""


def together(names: Sequence[str]) -> str:
    """How the ledger calls classes that are answered for as one."""
    return _BETWEEN.join(names)


def apart(own_class: str) -> list[str]:
    """The classes of ``together``, one if they are none."""
    return own_class.split(_BETWEEN)


@dataclass(frozen=True)
class Departure:
    """A package that leaves the site.

    Attributes:
        kind: ``model``, ``query``, ``answer`` or ``assessment``.
        card_sha256, tensors_sha256: of its two files.
        sent_to: the receiver; empty if nobody was named.
        signed_with: fingerprint of the key; None if it is not signed.
    """

    kind: str
    card_sha256: str
    tensors_sha256: str
    bytes: int
    sent_to: str
    signed_with: str | None


@dataclass(frozen=True)
class Exact:
    """an exact response as it left.

    Attributes:
        count: images, as it was told; None for few.
        content: all its numbers, as a safetensors file holds them.
    """

    count: int | None
    content: bytes


@dataclass(frozen=True)
class MaskLine:
    """What is told of one class of a mask, at which epsilon, and what the model really knows."""

    label: str
    known: bool
    epsilon: float
    told: bool


def columns(requested: Requested) -> dict[str, Any]:
    """A line's columns of what is requested."""
    facts = asdict(requested)
    return {
        "asked_by": facts.pop("site"),
        "class": facts.pop("label"),
        "site": facts.pop("own_site"),
        **facts,
    }


def write(db: sqlite3.Connection, columns: Mapping[str, Any], release: Any) -> None:
    release = json.dumps(release, allow_nan=False)
    file.insert(db, {**columns, "time": file.now(), "release": release})


def same(db: sqlite3.Connection, key: Mapping[str, Any], *more: str) -> Any:
    """The release of an earlier line with the same question; None if there is none."""
    names = ("query_sha256", "class", "kind", *more)
    wanted = " AND ".join(f"{name} = ?" for name in names)
    row = db.execute(
        f"SELECT release FROM answers WHERE {file.COUNTED} AND {wanted}", [key[n] for n in names]
    ).fetchone()
    return json.loads(row["release"]) if row else None


def keep(db: sqlite3.Connection, columns: Mapping[str, Any], answer: Exact) -> None:
    """Write down an exact response; its numbers apart, since they may be many."""
    digest = hashlib.sha256(answer.content).hexdigest()
    db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (digest, answer.content))
    write(db, columns, {"count": answer.count, "sha256": digest})


def kept(db: sqlite3.Connection, release: Mapping[str, Any]) -> Exact | None:
    """an exact response again; None if its numbers are lost, as in a ledger that was mended."""
    row = db.execute("SELECT content FROM kept WHERE sha256 = ?", (release["sha256"],)).fetchone()
    return Exact(release["count"], row["content"]) if row else None


def told_exactly(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Lines of what was told without noise: exact responses, and classes that were compared in one."""
    return [line for line in file.counted(db) if line["kind"] in (*EXACT, file.LOOK)]


def spent_in(db: sqlite3.Connection) -> list[Spent]:
    rows = db.execute(
        "SELECT noise_multiplier, unit, release, own_class FROM answers WHERE noise_multiplier IS NOT NULL"
    )
    return [Spent(row["noise_multiplier"], row["unit"], _classes(row)) for row in rows]


def _classes(line: Mapping[str, Any]) -> int:
    """Of how many classes the images are that one release of a private response adds up."""
    told = json.loads(line["release"])
    look = told.get("look") if isinstance(told, dict) else None
    shared = len(look["shared"]) if look else 0
    return max(len(apart(line["own_class"] or "")), shared)


def masks_told(db: sqlite3.Connection, site: str) -> dict[str, dict[tuple[bool, float], bool]]:
    """What was told of each class of a site's mask."""
    before: dict[str, dict[tuple[bool, float], bool]] = {}
    wanted = "SELECT class, epsilon, release FROM answers WHERE kind = ? AND site = ?"
    for line in db.execute(wanted, (MASK, site)):
        told = json.loads(line["release"])
        before.setdefault(line["class"], {})[(told["known"], line["epsilon"])] = told["told"]
    return before
