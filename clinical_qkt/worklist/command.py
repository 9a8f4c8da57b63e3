"""``clinical-qkt worklist``: from an archive of unlabelled images to a list that a person can label."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import private_folder, require_writable
from clinical_qkt.core.version import __version__
from clinical_qkt.packages.model import Model, is_model, load_model
from clinical_qkt.review.report.endings import print_places
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import plan, quoted
from clinical_qkt.worklist import words
from clinical_qkt.worklist.archive import Archive, open_archive, probabilities
from clinical_qkt.worklist.estimates import rare_limits
from clinical_qkt.worklist.listing import LIST, PAGE, TABLE, Part, Worklist, rows_of, write_list
from clinical_qkt.worklist.page import write_pages
from clinical_qkt.worklist.sampling import Stratum, strata

_OURS = re.compile(r"worklist(-\d+|-result)?\.(html|json|csv)")
"""Files that a list consists of."""


@dataclass(frozen=True)
class Wanted:
    """What a person asks for.

    Attributes:
        site: the site's YAML.
        images: folder of the archive.
        count: of labels.
        model: folder; the one that the transfer made if None.
        out: new folder; beside the transfer's results if None.
        bundle: instead of the one that the site's YAML names.
    """

    site: Path
    images: Path
    count: int
    model: Path | None = None
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False
    bundle: str | None = None


def make_worklist(wanted: Wanted, console: Console) -> Path:
    """Open the archive, ask the model, draw the list, write it; gives its folder.

    Raises:
        QKTError: the site, the model, the archive or the folder cannot be used.
    """
    stage = _stage(wanted.site, wanted.images, wanted.bundle)
    site = stage.site
    folder = wanted.out or site.transfer_dir / "worklist"
    require_free(folder, wanted.overwrite)
    model = load(site, wanted.model)
    queried = _columns(site, model)
    words.allowed(model.card.labels)
    archive = open_archive(wanted.images, model.card.input, site.data)
    said = probabilities(archive, model, torch.device(stage.value("device")))
    parts = strata(said, queried, wanted.count)
    listed = _listed(wanted, site, model, archive, parts)
    claim(folder, wanted.overwrite)  # not before: labels are lost only to a list that can be drawn
    write_pages(folder, archive.folder, listed, model.card.input)
    write_list(folder, listed)
    _tell(console, wanted, folder, listed)
    return folder


def load(site: Site, folder: Path | None) -> Model:
    """The model that a list is for.

    Raises:
        InputError: there is none yet.
    """
    at = folder or site.transfer_dir / "model"
    if not is_model(at):
        fix = "run `transfer` first, or name a model's folder with --model FOLDER"
        raise InputError("there is no model", where="--model" if folder else "transfer_dir: model", fix=fix)
    return load_model(at, site.trust)


def _stage(site: Path, images: Path, bundle: str | None) -> Stage:
    """The site as the stage ``inference`` would find it."""
    if not images.is_dir():
        raise InputError("there is no such folder", where="--images", fix="give the archive's folder")
    return Stage(plan("inference", site, ["--images", str(images)], bundle))


def _columns(site: Site, model: Model) -> list[int]:
    """The model's columns of the queried classes.

    Raises:
        InputError: the site asks for none, or the model lacks one.
    """
    if not site.query:
        fix = "list the class that the list is about under 'query'"
        raise InputError("names no queried class", where=f"site '{site.site}': query", fix=fix)
    columns = [model.card.labels.find(c) for c in site.queried]
    for queried, column in zip(site.queried, columns, strict=True):
        if column is None:
            raise InputError(
                f"does not know {queried.name}",
                where="the model",
                fix="name the model that has gained it with --model FOLDER",
            )
    return [c for c in columns if c is not None]


def require_free(folder: Path, overwrite: bool) -> None:
    """A folder that is new or empty, or holds a list that may be replaced; what it holds is left there.

    Raises:
        OutputError: it holds something else, or a list that may not.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError("is not a folder", where="--out", fix="name another one")
    held = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    if not all(_OURS.fullmatch(name) for name in held):
        raise OutputError("holds files that are no list to label", where="--out", fix="name a new folder")
    if {LIST, TABLE} & set(held) and not overwrite:
        fix = "name another folder with --out, or give --overwrite; labels in it are then lost"
        raise OutputError("holds a list already", where="--out", fix=fix)
    if not folder.exists():
        private_folder(folder)
    require_writable(folder, where="--out")


def claim(folder: Path, overwrite: bool) -> None:
    """Make the folder, or empty it of a list that may be replaced.

    Raises:
        OutputError: as ``require_free`` does.
    """
    require_free(folder, overwrite)
    for held in folder.iterdir():
        held.unlink()


def _listed(wanted: Wanted, site: Site, model: Model, archive: Archive, parts: Sequence[Stratum]) -> Worklist:
    names = model.card.labels.names
    return Worklist(
        version=__version__,
        created=datetime.date.today().isoformat(),
        site=site.site,
        classes=[c.model_dump(mode="json") for c in model.card.labels],
        query=[names[c] for c in _columns(site, model)],
        weights_sha256=model.card.weights_sha256,
        seed=wanted.seed,
        images=len(archive.paths),
        left_out=archive.left_out,
        parts=[
            Part(called=None if p.called is None else names[p.called], images=p.size, drawn=p.labels)
            for p in parts
        ],
        rows=rows_of(archive, list(parts), wanted.seed),
    )


def _tell(console: Console, wanted: Wanted, folder: Path, listed: Worklist) -> None:
    """What was drawn, what it can show at best, and what to do now."""
    called = sum(p.drawn for p in listed.parts if p.called)
    rest = [p for p in listed.parts if not p.called]
    lines = [
        f"{len(listed.rows)} of {listed.images:,} images are to be labelled: {called} that the model calls "
        f"{' or '.join(listed.query)}, {sum(p.drawn for p in rest)} of all others, those nearest to it "
        "more often."
    ]
    lines += [f"left out: {count} × {reason}" for reason, count in listed.left_out.items()]
    if rest:
        unseen = rare_limits([], max(-(-p.images // p.drawn) for p in rest))[1]
        lines.append(
            f"If the model misses none of them, {len(listed.rows)} labels will show that it misses fewer "
            f"than {max(1, round(unseen)):,} images of the archive; more labels show more."
        )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    site = quoted(str(wanted.site))
    print_places(
        console,
        {
            "pictures": folder / PAGE,
            "fill in": f"{folder / TABLE}: a class, '{words.NONE}' or '{words.UNUSABLE}'",
            "then": f"clinical-qkt worklist-result {site} {quoted(str(folder))} "
            f"--images {quoted(str(wanted.images))}",
            "not for them": f"{folder / LIST}: whoever labels should not look into it",
        },
    )
