"""Asking other sites: with the query that lies ready, for models, or for assessments of a new model."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import InputError, QueryError, one_of
from clinical_qkt.core.files import sha256
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.exchange import directory
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.letters import Ask, Wants, about_classes, now, sent_files
from clinical_qkt.exchange.receiving import WAITS
from clinical_qkt.exchange.sending import outgoing
from clinical_qkt.packages import plain_json

ALL, OFFERING = "all", "offering"
"""Everybody whose sealing key is held; and of them those who offer a class, see ``directory``."""


def receivers(desk: AtDesk, named: Sequence[str]) -> list[str]:
    """The sites that are to be asked.

    Raises:
        InputError: one is not known here.
    """
    known = sorted(site for site in desk.settings.sealing_keys if site != desk.site)
    if list(named) == [ALL]:
        named = known
    elif list(named) == [OFFERING]:
        named = [site for site in _who_offer(desk) if site in known]
    for site in named:
        if site not in known:
            raise InputError(
                f"'{site}' is not known here", where="--to", fix=one_of(site, [ALL, OFFERING, *known])
            )
        desk.sealed_for(site)
    if not named:
        raise InputError(
            "there is nobody to ask",
            where=f"{desk.yaml}: exchange: sealing_keys",
            fix="name the other sites' public sealing keys there; and if you asked for those who offer the "
            "classes, ask by name: nobody whom you know does",
        )
    return list(dict.fromkeys(named))


def _who_offer(desk: AtDesk) -> list[str]:
    """By the directory, of this site's own query."""
    found, _ = directory.offers(desk.carrier(), desk.trusted_keys)
    return directory.offering(found, _classes(_card(desk.query_dir, desk, "query"), "query"))


def deadline_of(named: str | None, days: int) -> datetime.datetime:
    """The end of a day; of none named, so many days from now.

    Raises:
        InputError: it is no day, is past, or more than a year ahead.
    """
    if named is None:
        return now() + datetime.timedelta(days=days)
    try:
        day = datetime.date.fromisoformat(named)
    except ValueError:
        raise InputError(f"'{named}' is no day", where="--deadline", fix="write it as 2026-12-24") from None
    end = datetime.datetime.combine(day, datetime.time(23, 59, 59), datetime.UTC)
    if not now() < end < now() + datetime.timedelta(days=366):
        raise InputError(
            f"{day} is not within the year to come", where="--deadline", fix="name a day that is"
        )
    return end


def ask(
    desk: AtDesk, to: Sequence[str], wants: Wants, package: Path | None, deadline: datetime.datetime
) -> list[str]:
    """Write an ask to each of some sites; gives those that were not asked, since they were already.

    Args:
        package: the query, or the model that is to be assessed; None of an ask for a model, which brings
            nothing but the classes of the site's own query.

    Raises:
        InputError: there is no such package here, or nothing to ask for.
    """
    classes, about = _what(desk, wants, package)
    exchange, again = secrets.token_hex(16), []
    for site in to:
        if _waits(desk, site, wants, about):
            again.append(site)
            continue
        letter = Ask(
            exchange=exchange,
            sender=desk.site,
            receiver=site,
            sent=now(),
            files=sent_files(package) if package else [],
            wants=wants,
            classes=classes,
            about=about,
            deadline=deadline,
        )
        outgoing(desk, letter, package)
    if len(again) == len(to):
        raise QueryError(
            "all of them were asked this already and have not answered yet",
            where="--to",
            fix=f"see `clinical-qkt exchange status {desk.yaml}`",
        )
    return again


def _what(desk: AtDesk, wants: Wants, package: Path | None) -> tuple[list[ClassLabel], str]:
    """Classes and digest of what is asked with."""
    if package is None:
        found = _classes(_card(desk.query_dir, desk, "query"), "query")
        return found, about_classes(c.name for c in found)
    card = _card(package, desk, "query" if wants == "statistics" else "model")
    if wants == "statistics":
        return _classes(card, "query"), sha256(package / "card.json")
    there = [c for c in _classes(card, "label_space") if c.name in card.get("gained", [])]
    if not there:
        raise InputError(
            "is of a model that gained no class",
            where=str(package),
            fix="share the model of a transfer, and name that package",
        )
    return there, sha256(package / "card.json")


def _card(folder: Path, desk: AtDesk, kind: str) -> dict[str, Any]:
    path = folder / "card.json"
    try:
        card = plain_json.parse(path.read_bytes())
        of_kind = str(card["format"]).startswith(f"clinical-qkt/{kind}/")
    except (OSError, ValueError, LookupError, TypeError):
        of_kind = False
    if not of_kind or not (folder / "package.sig").is_file():
        stage = "query" if kind == "query" else "share"
        raise InputError(
            f"holds no signed {kind} package",
            where=str(folder),
            fix=f"run `clinical-qkt run {stage} {desk.yaml}` with a 'signing_key' first",
        )
    return dict(card)


def _classes(card: dict[str, Any], field: str) -> list[ClassLabel]:
    return [ClassLabel.model_validate(c) for c in card[field]]


def _waits(desk: AtDesk, site: str, wants: Wants, about: str) -> bool:
    rows = desk.store.rows("direction = 'out' AND kind = 'ask' AND peer = ?", (site,))
    return any((r.ask.wants, r.ask.about) == (wants, about) and r.state in WAITS for r in rows)
