"""A site at its desk: the part of its YAML that an exchange needs. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import Field

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.files import private_folder
from clinical_qkt.core.state_folder import ledger_of
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.exchange import sealing_keys
from clinical_qkt.exchange.carriers.folder import Folder
from clinical_qkt.exchange.store import Store
from clinical_qkt.packages.signing import require_private_key
from clinical_qkt.site.config import read_part
from clinical_qkt.site.exchange_settings import Exchange
from clinical_qkt.site.parts import SiteTrust


class _Part(SiteTrust):
    site: str = Field(pattern=PSEUDONYM)
    exchange: Exchange = Exchange()
    signing_key: Path | None = None
    output_dir: Path | None = None
    package_dir: Path | None = None
    query_dir: Path | None = None
    ledger: Path | None = None


@dataclass(frozen=True)
class AtDesk:
    """A site, as far as its desk has to know it.

    Attributes:
        yaml: its file.
        site: its pseudonym.
        signing_key: that signs its letters.
        trusted_keys: files with the public keys of those whose letters it takes.
        package_dir, query_dir: its teacher package and its query.
    """

    yaml: Path
    site: str
    settings: Exchange
    signing_key: Path
    trusted_keys: dict[str, Path]
    folder: Path
    package_dir: Path
    query_dir: Path
    ledger: Path

    @cached_property
    def store(self) -> Store:
        return Store(self.folder / "desk.db")

    @cached_property
    def opens(self) -> X25519PrivateKey:
        """The key that opens this site's parcels."""
        if self.settings.sealing_key is None:
            raise InputError(
                "is not named",
                where=f"{self.yaml}: exchange: sealing_key",
                fix=f"make one: `clinical-qkt exchange keys {self.yaml} --out FILE`; name the file there",
            )
        return sealing_keys.read_private(self.settings.sealing_key)

    def sealed_for(self, receiver: str) -> X25519PublicKey:
        """The key for parcels to another site.

        Raises:
            InputError: this site does not know it, or nobody vouches for it.
        """
        path, key = self.settings.sealing_keys.get(receiver), self.trusted_keys.get(receiver)
        if path is None:
            known = one_of(receiver, sorted(self.settings.sealing_keys)) if self.settings.sealing_keys else ""
            raise InputError(
                f"no sealing key of '{receiver}' is held here",
                where=f"{self.yaml}: exchange: sealing_keys",
                fix=f"get the file {receiver}.sealing.pub from there and name it. {known}".strip(),
            )
        if key is None:
            raise InputError(
                f"no key of '{receiver}' is trusted here, so nobody vouches for its sealing key",
                where=f"{self.yaml}: trusted_keys",
                fix="get its public key, compare the fingerprint by telephone, and name the file",
            )
        return sealing_keys.read_public(receiver, path, key)

    def carrier(self) -> Folder:
        """What brings and fetches parcels: the mailbox, or of FLARE the spool's two sides."""
        if not self.settings.folder:
            raise InputError(
                "names no mailbox",
                where=f"{self.yaml}: exchange: folder",
                fix="write the path or the address that all sites reach, or of `carrier: flare` the spool",
            )
        if self.settings.carrier == "flare":
            return Folder.of_spool(Path(self.settings.folder))
        return Folder(self.settings.folder, self.site)

    def place(self, *parts: str) -> Path:
        """A folder at the desk, which its owner alone can open."""
        private_folder(self.folder)
        return private_folder(self.folder.joinpath(*parts))


def at_desk(yaml: Path) -> AtDesk:
    """From a site's YAML.

    Raises:
        InputError: it cannot be read, or says too little for an exchange.
    """
    part = read_part(yaml, _Part)
    if part.signing_key is None:
        raise InputError(
            "is not named, and letters are signed with it",
            where=f"{yaml}: signing_key",
            fix=f"make one with `clinical-qkt keys new {part.site}`",
        )
    require_private_key(part.signing_key)
    output = part.output_dir or Path("runs") / part.site
    return AtDesk(
        yaml=yaml,
        site=part.site,
        settings=part.exchange,
        signing_key=part.signing_key,
        trusted_keys=dict(part.trusted_keys),
        folder=part.exchange.desk or output / "desk",
        package_dir=part.package_dir or output / "package",
        query_dir=part.query_dir or output / "query",
        ledger=part.ledger or ledger_of(part.site),
    )
