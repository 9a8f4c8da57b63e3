"""What ``prepare`` is given: a folder, an ``.npz`` file or a datalist, as a list of files of one kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pydicom import Dataset

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.datalist import SECTIONS, Section, listed_class, parse_datalist
from clinical_qkt.data.export import write_images
from clinical_qkt.data.formats import SUFFIXES, ImageRefused, Kind, entries, kind_of, passed_over
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.leaks import Listed, refuse_leaks
from clinical_qkt.data.sources import from_npz
from clinical_qkt.prepare.labelling import Label

WHERE = "SOURCE"


@dataclass
class ListedLabels:
    """Labels that came with the list of files."""

    rows: dict[str, Label]

    def label(self, file: PurePath, header: Dataset | None) -> Label:
        if file.as_posix() not in self.rows:
            raise ImageRefused("has no label")
        return self.rows[file.as_posix()]


@dataclass
class SourceFiles:
    """The files to open.

    Attributes:
        kind: of most files.
        files: path, the same relative to the source, and kind.
        other: files that are no images, and why each is passed over.
        labels: where the source brings them.
        sections: of each relative path, where the source brings them.
        classes: in the source's order, where it has one.
        name, generated: as in the datalist; the name is empty where it would be a file's or folder's.
        notes: what was decided about the data already.
    """

    kind: Kind
    files: list[tuple[Path, PurePath, Kind]]
    other: dict[Path, str] = field(default_factory=dict)
    labels: ListedLabels | None = None
    sections: dict[str, Section] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    name: str = ""
    generated: bool = False
    notes: list[str] = field(default_factory=list)


def open_files(path: Path, seed: int, images: Path) -> SourceFiles:
    """List whatever ``path`` is.

    Args:
        seed: of the split of an ``.npz`` file that has none.
        images: folder that the pictures of an ``.npz`` file are written to.

    Raises:
        InputError: there is nothing that can be listed.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError("does not exist", where=WHERE, fix="check the path")
    if path.suffix.lower() == ".npz":
        return _npz(path, seed, images)
    if path.suffix.lower() == ".json":
        return _datalist(path)
    raise InputError(
        "is neither a folder nor an .npz file nor a datalist .json",
        where=WHERE,
        fix="give the folder that the file lies in",
    )


def _folder(path: Path) -> SourceFiles:
    """Everything below it, hidden files and folders aside."""
    found = entries(path)
    files = [(e.path, PurePath(e.path.relative_to(path)), e.kind) for e in found if e.kind]
    other = {e.path: e.reason for e in found if not e.kind}
    notes = passed_over(found)
    return SourceFiles(_kind(files, notes), files, other, notes=notes)


def _kind(files: list[tuple[Path, PurePath, Kind]], notes: Sequence[str] = ()) -> Kind:
    if not files:
        known = ", ".join(SUFFIXES)
        raise InputError(
            "; ".join(["holds no images", *notes]),
            where=WHERE,
            fix=f"files end in {known}, or are DICOM files without a suffix",
        )
    return Counter(kind for _, _, kind in files).most_common(1)[0][0]


def _npz(path: Path, seed: int, images: Path) -> SourceFiles:
    source = from_npz(path, seed, where=WHERE)
    written = write_images(source, images)
    names = source.classes.names
    listed = [(s, int(i)) for s in SECTIONS for i in source.splits[s]]
    return SourceFiles(
        "picture",
        [(written[i], PurePath(written[i].name), "picture") for _, i in listed],
        labels=ListedLabels({written[i].name: Label(names[int(source.labels[i])]) for _, i in listed}),
        sections={written[i].name: s for s, i in listed},
        classes=names,
        notes=source.notes,
    )


def _class(label: str | int, classes: LabelSpace | None, at: str) -> str:
    """A class's name as the list spells it."""
    found = listed_class(label, classes, at)
    if classes is not None and found not in classes:
        raise InputError(
            f"{shown(label)} is not in the file's list 'classes'",
            where=at,
            fix=one_of(found.name, classes.names),
        )
    return found.name


def _datalist(path: Path) -> SourceFiles:
    content = parse_datalist(path, where=WHERE)
    classes = LabelSpace(content.classes, where=f"{WHERE}: classes") if content.classes else None
    listed: list[Listed] = []
    files: list[tuple[Path, PurePath, Kind]] = []
    rows: dict[str, Label] = {}
    sections: dict[str, Section] = {}
    for section in SECTIONS:
        for k, entry in enumerate(getattr(content, section)):
            at = f"{section}[{k}]"
            label = _class(entry.label, classes, f"{WHERE}: {at}.label")
            relative, file = PurePath(entry.image), path.parent / entry.image
            listed.append(Listed(section, at, file, label, entry.patient or ""))
            files.append((file, relative, kind_of(file) or "picture"))
            rows[relative.as_posix()] = Label(label, entry.patient or "", tuple(entry.groups.items()))
            sections[relative.as_posix()] = section
    refuse_leaks(listed, WHERE)
    return SourceFiles(
        _kind(files),
        files,
        labels=ListedLabels(rows),
        sections=sections,
        classes=classes.names if classes else [],
        name=content.name,
        generated=content.generated,
    )
