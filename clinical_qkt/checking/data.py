"""The datalist and its images: what can be told without opening all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking.finding import Finding
from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.data.datalist import SECTIONS, Datalist, Section, parse_datalist
from clinical_qkt.data.images import check_images, size_of
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.leaks import Listed, refuse_leaks
from clinical_qkt.data.made_for import ImageFacts, MadeFor, require_made_for
from clinical_qkt.site.config import Site

NEEDED = {
    "train": ("training", "validation"),
    "evaluate": ("test",),
    "share": ("test",),
    "query": ("training",),
    "answer": (),
    "assess": ("test",),
    "judge": (),
    "transfer": SECTIONS,
}
"""Which sections may not be empty, by command."""
TOLD = ("answer", "assess", "judge")
"""Commands that train nothing and need no model of the site's own."""


def findings(stage: Stage) -> Iterator[Finding]:
    """The datalist, its labels, its files, and the first image.

    Raises:
        InputError: the datalist cannot be read.
    """
    if stage.command not in NEEDED:
        yield from _new_images(stage)
        return
    listed = parse_datalist(stage.site.data)
    yield _sections(stage, listed)
    trained: tuple[Section, ...] = () if stage.command in TOLD else ("training", "validation")
    yield from _labels(stage.site, listed, trained)
    yield from _files(stage.site, listed)
    yield from _apart(stage.site, listed)
    yield from _first(stage, listed)


def counts(site: Site) -> dict[str, int]:
    """Images by section, as they are listed.

    Raises:
        InputError: the datalist cannot be read.
    """
    listed = parse_datalist(site.data)
    return {section: len(getattr(listed, section)) for section in SECTIONS}


def _sections(stage: Stage, listed: Datalist) -> Finding:
    told = ", ".join(f"{len(getattr(listed, s))} {s}" for s in SECTIONS)
    empty = [s for s in NEEDED[stage.command] if not getattr(listed, s)]
    if empty:
        fix = f"{stage.command} needs images in the section {' and '.join(empty)}"
        return Finding("problem", "datalist", f"{stage.site.data}: {told}", fix)
    return Finding("ok", "datalist", f"{told} images")


def _labels(site: Site, listed: Datalist, trained: Sequence[Section]) -> Iterator[Finding]:
    """Every label is a class of the site, and every class has images in the sections to be trained with."""
    labels = site.labels.extended(site.query) if site.query else site.labels
    own = LabelSpace(listed.classes, where=f"{site.data}: classes") if listed.classes else None
    seen: Counter[tuple[str, str]] = Counter()
    for section in SECTIONS:
        for entry in getattr(listed, section):
            seen[section, _name(entry.label, own)] += 1
    found = {name: labels.find(name) for name in {name for _, name in seen}}
    for name in sorted(name for name, position in found.items() if position is None):
        number = sum(n for (_, label), n in seen.items() if label == name)
        told = f"'{name}', of {number} images, is not one of the site's classes"
        yield Finding("problem", "labels", told, one_of(name, labels.names))
    for section in trained:
        there = {found[name] for s, name in seen if s == section}
        lacking = [n for i, n in enumerate(site.labels.names) if i not in there]
        if lacking:
            fix = "add images, or take the class out of the site's list 'classes'"
            yield Finding("problem", "labels", f"no {section} images of {', '.join(lacking)}", fix)
    if None not in found.values():
        yield Finding("ok", "labels", f"{len(found)} classes, all of them known: {', '.join(sorted(found))}")


def _name(label: str | int, own: LabelSpace | None) -> str:
    if isinstance(label, str):
        return label
    return own[label].name if own is not None and 0 <= label < len(own) else str(label)


def _files(site: Site, listed: Datalist) -> Iterator[Finding]:
    paths = [site.data.parent / e.image for s in SECTIONS for e in getattr(listed, s)]
    missing = sum(not path.is_file() for path in paths)
    if missing:
        fix = "paths are relative to the datalist; check that the copy is complete"
        yield Finding("problem", "images", f"{missing} of {len(paths)} are missing", fix)
    else:
        yield Finding("ok", "images", f"{len(paths)} files are there")


def _apart(site: Site, listed: Datalist) -> Iterator[Finding]:
    """No patient and no image is in two sections; of DICOM files the headers are read.

    Raises:
        InputError: one is.
    """
    every = [
        Listed(s, f"{s}[{k}]", site.data.parent / e.image, str(e.label), e.patient or "")
        for s in SECTIONS
        for k, e in enumerate(getattr(listed, s))
    ]
    refuse_leaks([one for one in every if one.file.is_file()], str(site.data))
    yield Finding("ok", "sections", "no patient and no image was found in two of them")


def _first(stage: Stage, listed: Datalist) -> Iterator[Finding]:
    """One image opened, for all: the stage opens every one before it computes anything.

    Raises:
        InputError: it cannot be used, or the bundle is not made for such images.
    """
    site = stage.site
    paths = [site.data.parent / e.image for s in SECTIONS for e in getattr(listed, s)]
    there = [path for path in paths if path.is_file()][:1]
    given = stage.contract()
    if not there or given is None:
        return
    found = check_images(there, str(site.data), allow_mixed_sizes=True, contract=given)
    size = list(found.spatial_size or ())
    facts = ImageFacts(found.kinds, found.channels, len(size), found.modalities)
    require_made_for(MadeFor.model_validate(stage.value("made_for")), facts, f"{site.data.name}: image")
    told = f"{size_of((0, *size))}, {found.channels} {'channel' if found.channels == 1 else 'channels'}"
    if found.channels != site.channels or len(size) != len(given.spatial_size):
        fix = f"set 'channels: {found.channels}' in the site's YAML, or use a bundle for such images"
        yield Finding("problem", "first image", f"{told}; the model takes {site.channels}", fix)
    else:
        yield _resized(told, size, given)


def _resized(told: str, size: list[int], given: InputContract) -> Finding:
    """What becomes of an image of a size."""
    smaller = "x".join(map(str, given.spatial_size))
    if given.spacing is not None:
        spacing = "x".join(f"{s:g}" for s in given.spacing)
        told += f"; resampled to {spacing} mm, then cropped or padded to {smaller}"
        return Finding("ok", "first image", told)
    if size == given.spatial_size:
        return Finding("ok", "first image", told)
    shrunk = all(a >= b for a, b in zip(size, given.spatial_size, strict=True))
    fix = f"train with 'spatial_size: {size}' in the site's YAML to keep what is in them"
    return Finding(
        "warning", "first image", f"{told}; images are {'shrunk' if shrunk else 'resized'} to {smaller}", fix
    )


def _new_images(stage: Stage) -> Iterator[Finding]:
    """Of ``inference``: the folder.

    Raises:
        InputError: it is not given, or is no folder.
    """
    folder = stage.value("images")
    if folder is None or not Path(folder).is_dir():
        raise InputError("there is no such folder", where=f"images: {folder}", fix="give --images FOLDER")
    yield Finding("ok", "images", f"{folder} is a folder")
