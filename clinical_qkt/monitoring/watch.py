"""The way of a check: model, yardstick, new images, verdict; record, page and MLflow."""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections import Counter
from pathlib import Path

import torch
from rich.console import Console

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.core import logs
from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import private_folder, require_writable, sha256
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.monitoring import page, record, terminal
from clinical_qkt.monitoring.acceptance import at_acceptance
from clinical_qkt.monitoring.check import Check, checked
from clinical_qkt.monitoring.drift import Seen
from clinical_qkt.monitoring.images import Listed, Raw, list_images, looked_at
from clinical_qkt.monitoring.logged import log
from clinical_qkt.monitoring.reference import (
    FILES,
    Reference,
    as_baseline,
    read_reference,
)
from clinical_qkt.packages.model import Model, is_model, load_model
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import plan

FOLDER = "monitoring"
"""Beside the model's folder."""


def watch(
    site_file: Path,
    images: Path,
    console: Console,
    *,
    model: Path | None,
    name: str,
    since: datetime.date | None,
    baseline: bool,
    bundle: str | None,
    overwrite: bool,
) -> Check:
    """Look at new images; write the record, the page and MLflow; print what was found.

    Args:
        images: a folder or a list, see ``images.list_images``.
        name: of the check.
        baseline: take them as the yardstick of later checks, if they are quiet.

    Raises:
        QKTError: a file, the model or the yardstick cannot be used, and nothing is recorded; or, after all
            that, MLflow's address.
    """
    if not re.fullmatch(PSEUDONYM, name):
        fix = "use letters, digits, '_', '.' and '-', such as 2026-W48"
        raise InputError(f"'{name}' is no name for a check", where="--name", fix=fix)
    logs.keep_from_the_screen()  # again: the libraries have made their loggers by now
    stage = Stage(plan("evaluate", site_file, [], bundle))
    site, device = stage.site, torch.device(stage.value("device"))
    used, read = _model(site, model), stage.value("read")
    folder = used.folder.parent / FOLDER
    require_writable(folder)
    private_folder(folder)
    earlier = record.read_record(folder)
    record.require_new(earlier, name, folder, overwrite=overwrite)
    if baseline and (folder / FILES["baseline"]).exists() and not overwrite:
        raise OutputError("holds a baseline already", where=str(folder), fix="give --overwrite to replace it")
    if images.resolve() == site.data.resolve():
        fix = "give images that came after the model was accepted"
        raise InputError("are the site's own datalist, which is the yardstick", where="--images", fix=fix)
    listed = _listed(images, since)
    accepted = read_reference(folder, "acceptance", used.card.weights_sha256)
    if accepted is None:
        accepted = at_acceptance(site, used, read, device)
        accepted.save(folder)
    elif accepted.about.data_sha256 != sha256(site.data):
        print("note: the datalist was changed after the yardstick was made of it", file=sys.stderr)
    kept = None if baseline else read_reference(folder, "baseline", used.card.weights_sha256)
    raw = looked_at(listed.paths, read, used, device, accepted.axes)
    seen, unreadable = raw.seen(listed.patients), len(raw.unreadable) + listed.passed_over
    check = checked(
        name,
        seen,
        unreadable,
        kept or accepted,
        site.monitoring,
        by_patient=listed.patients is not None,
        channels=used.card.input.channels,
        prevalence=site.prevalence,
        earlier=[c for c in earlier if c.name != name and c.weights_sha256 == used.card.weights_sha256],
        seed=site.seed,
    )
    _warn(raw, listed)
    record.add(folder, check)
    checks = record.read_record(folder)
    page.write(folder, site.site, checks, site.monitoring)
    terminal.show(console, site.site, check, folder)
    if baseline:
        told = _keep_baseline(accepted, seen, check, listed, unreadable, folder, site)
        console.print(told, markup=False, soft_wrap=True)
    log(site, stage.value("task"), check, folder / record.FILE)  # last: a server that is away hides no alarm
    return check


def _model(site: Site, named: Path | None) -> Model:
    folder = named or site.transfer_dir / "model"
    if not is_model(folder):
        told = "holds no model" if named else "holds no model: there was no transfer yet"
        fix = "name the folder of the model in use with --model FOLDER"
        raise InputError(told, where=str(folder), fix=fix)
    model = load_model(folder, site.trust)
    verdict = _verdict(folder.parent / "summary.json")
    if verdict not in (None, "accepted"):
        print(f"warning: this model is in use, though its transfer says: {verdict}", file=sys.stderr)
    return model


def _verdict(summary: Path) -> str | None:
    """What a transfer beside the model says of it; None where there is none."""
    try:
        content = json.loads(summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    verdict = content.get("verdict") if isinstance(content, dict) else None
    return verdict if isinstance(verdict, str) else None


def _listed(images: Path, since: datetime.date | None) -> Listed:
    listed = list_images(images)
    if since is None:
        return listed
    newer = listed.since(since)
    if not newer.paths:
        fix = "give an earlier day: that of a file counts, not that of the examination"
        raise InputError(f"no file was written since {since}", where="--since", fix=fix)
    return newer


def _keep_baseline(
    accepted: Reference, seen: Seen, check: Check, listed: Listed, unreadable: int, folder: Path, site: Site
) -> str:
    """Keep a quiet period as the yardstick; what was done, in words."""
    if check.verdict != "quiet":
        return (
            "These images did not become the baseline, since they are not quiet themselves. If daily images "
            "are like these for good, test the model on such images before it is used on them."
        )
    facts = {"patients_named": listed.patients is not None, "unreadable": unreadable, "listed": check.listed}
    path = as_baseline(accepted, seen, check.name, site.seed, **facts).save(folder)
    return f"These images are the baseline of later checks: {path}"


def _warn(raw: Raw, listed: Listed) -> None:
    """What was left out, by reason, without names."""
    for reason, count in Counter(raw.unreadable).most_common(5):
        print(f"warning: left out {count} × {reason}", file=sys.stderr)
    if listed.passed_over:
        print(f"warning: left out {listed.passed_over} × cannot be looked at", file=sys.stderr)
    if listed.older:
        print(f"note: {listed.older} older files were left out (--since)", file=sys.stderr)
    if listed.patients is None:
        print(
            "note: no patients are named; it is assumed that no two images show the same one", file=sys.stderr
        )
