"""What a site allows a sweep: a file in the site's own FLARE folder, which no job can name or change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.values import Strict

Role = Literal["project_admin", "org_admin", "lead", "member"]


class SiteSettings(Strict):
    """The file ``local/exchange.SITE.json``.

    It is no part of ``resources.json``, of which FLARE sends whatever it does not know to the server.
    """

    spool: Path
    """Where parcels wait and come in; an absolute path."""
    relay_organisations: list[str] = Field(min_length=1)
    """Whose people may start a sweep here, as their certificates say."""
    relay_roles: list[Role] = Field(default=["lead"], min_length=1)
    """In which of FLARE's roles they may."""
    largest_parcel: int = Field(default=500_000_000, ge=1_000, le=1 << 36)
    """In bytes; a larger one is neither taken nor given."""
    quota: int = Field(default=5_000_000_000, ge=1_000_000)
    """Bytes that may lie here and wait for the desk."""

    @field_validator("spool")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("is no absolute path")
        return value

    def allows(self, organisation: object, role: object) -> bool:
        """Whether somebody may start a sweep here."""
        return organisation in self.relay_organisations and role in self.relay_roles


def settings_file(local: Path, site: str) -> Path:
    """Where a site's settings stand.

    Args:
        local: the folder ``local`` of the site's startup kit.
    """
    return local / f"exchange.{site}.json"


def read_settings(local: Path, site: str) -> SiteSettings:
    """A site's settings.

    Raises:
        InputError: they are missing or wrong.
    """
    file = settings_file(local, site)
    try:
        return SiteSettings.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError("is missing", where=str(file), fix="write it with `exchange provision`") from None
    except ValidationError as e:
        key, said = ".".join(str(k) for k in e.errors()[0]["loc"]), e.errors()[0]["msg"]
        raise InputError(f"'{key}': {said}", where=str(file), fix="correct it") from None
    except ValueError:
        raise InputError("is no JSON", where=str(file), fix="correct it") from None
