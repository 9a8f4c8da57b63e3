"""What ``prepare`` is given: a folder, an ``.npz`` file or a datalist, as a list of files of one kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pydicom import Dataset

from clinical_qkt.data.datalist import SECTIONS, Section, parse_datalist
from clinical_qkt.data.export import write_images
from clinical_qkt.data.formats import SUFFIXES, ImageRefused, Kind, kind_of
from clinical_qkt.data.sources import from_npz
from clinical_qkt.errors import InputError
from clinical_qkt.labels import LabelSpace
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
        other: files that are no images.
        labels: where the source brings them.
        sections: of each relative path, where the source brings them.
        classes: in the source's order, where it has one.
        name, generated: as in the datalist; the name is empty where it would be a file's or folder's.
        notes: what was decided about the data already.
    """

    kind: Kind
    files: list[tuple[Path, PurePath, Kind]]
    other: list[Path] = field(default_factory=list)
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
    try:
        if path.suffix == ".npz":
            return _npz(path, seed, images)
        if path.suffix == ".json":
            return _datalist(path)
    except InputError as e:
        raise InputError(e.problem, where=e.where.replace(str(path), WHERE), fix=e.fix) from None
    raise InputError(
        "is neither a folder nor an .npz file nor a datalist .json",
        where=WHERE,
        fix="give the folder that the file lies in",
    )


def _folder(path: Path) -> SourceFiles:
    """Everything below it, hidden files and folders aside."""
    files: list[tuple[Path, PurePath, Kind]] = []
    other: list[Path] = []
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if any(part.startswith(".") for part in relative.parts) or not file.is_file():
            continue
        kind = kind_of(file)
        if kind is None:
            other.append(file)
        else:
            files.append((file, relative, kind))
    return SourceFiles(_kind(files), files, other)


def _kind(files: list[tuple[Path, PurePath, Kind]]) -> Kind:
    if not files:
        known = ", ".join(SUFFIXES)
        raise InputError(
            "holds no images", where=WHERE, fix=f"files end in {known}, or are DICOM files without a suffix"
        )
    return Counter(kind for _, _, kind in files).most_common(1)[0][0]


def _npz(path: Path, seed: int, images: Path) -> SourceFiles:
    source = from_npz(path, seed)
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


def _datalist(path: Path) -> SourceFiles:
    content = parse_datalist(path)
    classes = LabelSpace(content.classes, where=f"{WHERE}: classes").names if content.classes else []
    files: list[tuple[Path, PurePath, Kind]] = []
    rows: dict[str, Label] = {}
    sections: dict[str, Section] = {}
    for section in SECTIONS:
        for k, entry in enumerate(getattr(content, section)):
            label = entry.label
            if isinstance(label, int):
                if not 0 <= label < len(classes):
                    raise InputError(
                        f"label {label} is not a position in the file's list 'classes'",
                        where=f"{WHERE}: {section}[{k}].label",
                        fix="use class names as labels, or add the list 'classes'",
                    )
                label = classes[label]
            relative, file = PurePath(entry.image), path.parent / entry.image
            files.append((file, relative, kind_of(file) or "picture"))
            rows[relative.as_posix()] = Label(label, entry.patient or "")
            sections[relative.as_posix()] = section
    return SourceFiles(
        _kind(files),
        files,
        labels=ListedLabels(rows),
        sections=sections,
        classes=classes,
        name=content.name,
        generated=content.generated,
    )
