"""Sites with desks and keys that share a mailbox; packages are tiny, and what needs torch is stood in for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from clinical_qkt.core.files import sha256
from clinical_qkt.exchange import asking, deciding, work
from clinical_qkt.exchange.at_desk import AtDesk, at_desk
from clinical_qkt.exchange.keys_of_site import new_keys
from clinical_qkt.exchange.store import Row
from clinical_qkt.exchange.sweep import Sweep
from clinical_qkt.packages.key_files import new_key
from clinical_qkt.site.ledger.ledger import Ledger

SITES = ("ask", "north", "south")
"""The first one asks."""
CLASSES = ("basophil", "monocyte")


def package(folder: Path, kind: str, site: str, tensors: str, **more: Any) -> Path:
    """A folder that looks like a package to whoever does not read its tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / tensors).write_bytes(f"tensors of {site}".encode() * 100)
    card = {"format": f"clinical-qkt/{kind}/2", "site": site, **more}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "SHA256SUMS").write_text(f"{sha256(folder / 'card.json')}  card.json\n")
    (folder / "package.sig").write_text("{}")
    return folder


class World:
    """Some hospitals.

    Attributes:
        answered: how often each site computed an answer.
        said: what sweeps said.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.answered: Counter[str] = Counter()
        self.said: list[str] = []
        for site in SITES:
            new_key(site, root / "keys")
            self.write(site, exchange={})
            new_keys(self.yaml(site), root / "keys" / f"{site}.sealing")
        for site in SITES:
            self.write(site)
            Ledger(root / f"{site}.db").begin()
        self.query = package(
            root / "ask" / "query",
            "query",
            "ask",
            "extractor.safetensors",
            query=[{"name": c, "system": None, "code": None} for c in CLASSES],
        )
        patch.setattr(work, "examine", self.examine)
        patch.setattr(work, "answer", self.answer)

    def yaml(self, site: str) -> Path:
        return self.root / f"{site}.yaml"

    def write(self, site: str, **changes: Any) -> None:
        """A site's YAML."""
        keys = self.root / "keys"
        others = [s for s in SITES if s != site]
        exchange = {
            "folder": str(self.root / "mailbox"),
            "sealing_key": str(keys / f"{site}.sealing"),
            "sealing_keys": {s: str(keys / f"{s}.sealing.pub") for s in others},
        }
        values = {
            "site": site,
            "signing_key": str(keys / f"{site}.key"),
            "trusted_keys": {s: str(keys / f"{s}.pub") for s in others},
            "output_dir": str(self.root / site),
            "ledger": str(self.root / f"{site}.db"),
            "exchange": {**exchange, **changes.pop("exchange", {})},
            **changes,
        }
        self.yaml(site).write_text(yaml.safe_dump(values))

    def desk(self, site: str) -> AtDesk:
        return at_desk(self.yaml(site))

    def ask(self, *to: str, wants: Any = "statistics", days: int = 14) -> None:
        """The asker's letters are written; they leave with its next sweep."""
        desk = self.desk("ask")
        named = to or [s for s in SITES if s != "ask"]
        given = {"statistics": desk.query_dir, "assessment": desk.package_dir}.get(wants)
        asking.ask(desk, named, wants, given, asking.deadline_of(None, days))

    def sweep(self, *sites: str) -> None:
        for site in sites or SITES:
            Sweep(self.desk(site), self.said.append).run()

    def settle(self) -> None:
        """Sweeps until nothing moves any more."""
        for _ in range(4):
            self.sweep()

    def asked(self, site: str) -> Row:
        """The only request at a site."""
        (row,) = self.desk(site).store.of("in", "ask")
        return row

    def outcome(self, site: str) -> str:
        """What the asker knows of its request to a site."""
        (row,) = [r for r in self.desk("ask").store.of("out", "ask") if r.peer == site]
        return row.state

    def approve(self, site: str) -> None:
        desk, row = self.desk(site), self.asked(site)
        deciding.approve(desk, row, "Dr. A", deciding.shown(desk, row), new_ledger=False)

    def parcels(self, site: str) -> list[Path]:
        return sorted((self.root / "mailbox" / site).glob("*.parcel"))

    def examine(self, desk: AtDesk, jobs: Any, lock: Any) -> tuple[dict[str, Any], list[str]]:
        """What stands in for the process that looks at packages."""
        told: dict[str, Any] = {}
        for job in jobs:
            card = json.loads((Path(job["package"]) / "card.json").read_text())
            rows = [{"label": c["name"], "what": "", "kind": "private_mean"} for c in card.get("query", [])]
            right = {"preview": {"classes": rows}} if job["kind"] == "ask" else {"verified": True}
            told[job["id"]] = right if card["site"] == job["sender"] else {"refused": "is of somebody else"}
        return told, []

    def answer(self, desk: AtDesk, row: Row, decision: Any, lock: Any, **_: Any) -> tuple[Path, int]:
        """What stands in for the stage that answers."""
        result = desk.folder / "work" / row.id / "package"
        if not (result / "card.json").is_file():
            self.answered[desk.site] += 1
            package(result, "answer", desk.site, "statistics.safetensors")
        return result, 0


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)
