"""How a site takes part in exchanges: a section of its YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from clinical_qkt.core.schema import SHOWN
from clinical_qkt.core.terms import PSEUDONYM, Kind
from clinical_qkt.core.values import Strict

Pseudonym = Annotated[str, Field(pattern=PSEUDONYM)]
_NONE: dict[str, Any] = {SHOWN: "none"}


class Automatic(Strict):
    """What is answered without a person, within numbers. By default nothing is."""

    askers: list[Pseudonym] = Field(default=[])
    """Pseudonyms of the sites that may get an answer without a person. All others wait for one."""
    kinds: list[Kind] = Field(default=["private_mean"])
    """What may leave without a person. Exact numbers only if they are named here."""
    queries_per_asker_per_month: int = Field(default=5, ge=0, le=10_000)
    """So many different queries of one site are answered without a person in 30 days."""
    exact_answers_per_class_per_year: int = Field(default=3, ge=0, le=10_000)
    """So many exact responses for a class leave without a person in 365 days."""


class Exchange(Strict):
    """Where parcels are fetched and left, and what happens with those that come."""

    carrier: Literal["folder", "flare"] = "folder"
    """What carries parcels: a `folder` that all sites reach, or NVIDIA `flare`, which fetches them from this
    site's spool."""
    folder: str = Field(default="", json_schema_extra=_NONE)
    """The mailbox: a path, or any address that fsspec knows, such as `s3://consortium/mailbox` or
    `sftp://host/mailbox`. Of `flare` the spool, a path."""
    sealing_key: Path | None = Field(default=None, json_schema_extra=_NONE)
    """The private key that opens this site's parcels, from `clinical-qkt exchange keys`."""
    sealing_keys: dict[Pseudonym, Path] = Field(default={}, json_schema_extra=_NONE)
    """Files with the public sealing keys of other sites, by their pseudonyms. Each is taken only with the
    signature of that site's key under `trusted_keys`."""
    desk: Path | None = Field(default=None, json_schema_extra={SHOWN: "`<output_dir>/desk`"})
    """The folder of this site's inbox, outbox and decisions. Only its owner can open it."""
    automatic: Automatic = Field(default=Automatic(), json_schema_extra={SHOWN: "nothing"})
    """What is answered without a person."""
    deadline_days: int = Field(default=14, ge=1, le=365)
    """After so many days a request that nobody decided on is expired, if its own deadline is not sooner."""
    largest_parcel: int = Field(default=500_000_000, ge=1_000_000)
    """In bytes; a larger one is left with the carrier, and told."""
    quota: int = Field(default=5_000_000_000, ge=1_000_000)
    """In bytes, of all packages at the desk; when it is reached, no parcel is fetched any more."""
