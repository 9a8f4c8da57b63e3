"""The datalist: which image has which label and belongs to which split. One JSON file a site.

It has MONAI's sections (``training``, ``validation``, ``test``), each a list of ``{"image", "label"}``;
paths are relative to the file, labels are class names::

    {"name": "ward 3", "generated": false, "classes": ["monocyte", "platelet"],
     "training": [{"image": "images/0001.png", "label": "monocyte"}], "validation": [], "test": []}

With a ``classes`` list a label may also be a position in it. An entry may name its ``patient``, and
``groups`` by which results are told apart, such as ``{"sex": "F"}``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.datalist_fields import SECTIONS as SECTIONS
from clinical_qkt.data.datalist_fields import Datalist as Datalist
from clinical_qkt.data.datalist_fields import Entry as Entry
from clinical_qkt.data.datalist_fields import Section as Section
from clinical_qkt.data.formats import Kind
from clinical_qkt.data.images import check_images
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel, LabelSpace, class_of
from clinical_qkt.data.leaks import Listed, refuse_leaks
from clinical_qkt.data.made_for import ImageFacts


@dataclass
class CheckedData:
    """A datalist whose images were all opened.

    Attributes:
        labels: the site's classes, then the queried ones.
        items: per section ``[{"image": path, "label": position}]``, as MONAI's datasets take them.
        patients: ``{image path: patient}`` where the list names one; apart, so that it rides in no batch.
        groups: ``{image path: {column: value}}``, likewise; they are for the site's own report alone.
        channels, spatial_size: what all images have in common; the size is None if sizes differ and may.
        kinds, modalities: of the images' files, and what DICOM headers name.
        skipped: images that were left out, now or when the list was made, ``(place in the list, reason)``:
            what is said on the screen is mailed to others, and a file's name may tell who is on it.
    """

    name: str
    generated: bool
    labels: LabelSpace
    items: dict[Section, list[dict[str, Any]]]
    channels: int = 0
    spatial_size: tuple[int, ...] | None = None
    kinds: set[Kind] = field(default_factory=set)
    modalities: set[str] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    patients: dict[str, str] = field(default_factory=dict)
    groups: dict[str, dict[str, str]] = field(default_factory=dict)

    def facts(self, dimensions: int) -> ImageFacts:
        """What the images are, for a bundle that takes images of so many dimensions."""
        shown = len(self.spatial_size) if self.spatial_size else dimensions
        return ImageFacts(self.kinds, self.channels, shown, self.modalities)

    def patients_in(self, section: Section) -> int | None:
        """How many patients a section's images are of; None unless each image names one."""
        named = [self.patients.get(item["image"]) for item in self.items[section]]
        return None if not named or None in named else len(set(named))

    def whose(self, section: Section) -> NDArray[Any] | None:
        """``(N,)`` numbers that tell whose image it is, in the section's order; None if nobody is named.

        An image that names nobody counts as that of a patient of its own.
        """
        return self.whose_are(self.items[section])

    def whose_are(self, items: Sequence[dict[str, Any]]) -> NDArray[Any] | None:
        """The same of any of its images, ``{"image": path, …}``."""
        named = [self.patients.get(item["image"]) for item in items]
        if not any(named):
            return None
        alone = [f"\0{k}" if name is None else name for k, name in enumerate(named)]
        return np.unique(alone, return_inverse=True)[1]

    def groups_in(self, section: Section) -> list[dict[str, str]]:
        """Of each image of a section, its groups by column."""
        return [self.groups.get(item["image"], {}) for item in self.items[section]]

    def counts(self, section: Section) -> dict[str, int]:
        """Images per class in a section."""
        found = Counter(item["label"] for item in self.items[section])
        return {name: found[i] for i, name in enumerate(self.labels.names)}


def parse_datalist(path: Path, *, where: str = "") -> Datalist:
    """Read a datalist file; images are not looked at.

    Args:
        where: how errors call the file, if not by its path.

    Raises:
        InputError: the file is missing, not JSON, or has a wrong field, which is named.
    """
    where = where or str(path)
    try:
        content = json.loads(
            path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant
        )
        return Datalist.model_validate(content)
    except OSError as e:
        raise InputError(
            f"the datalist cannot be read ({e.strerror})",
            where=where,
            fix="make one with `clinical-qkt prepare`",
        ) from None
    except (ValueError, RecursionError) as e:
        if isinstance(e, ValidationError):
            raise _wrong_field(where, e.errors()[0]) from None
        raise InputError(f"not a JSON file ({e})", where=where, fix="mend the file at that place") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping; of a key that stands twice, the first value would be lost without a word."""
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"the key {shown(twice[0])} stands twice in one mapping")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value in JSON")


_TOLD = {
    "missing": "is missing",
    "model_type": "is no mapping of names to values, such as an entry with 'image' and 'label'",
    "list_type": "is no list",
    "string_type": "is no text",
    "bool_type": "is neither true nor false",
}
"""Kinds of pydantic's problems, in our words."""


def _wrong_field(where: str, problem: Any) -> InputError:
    at = ".".join(str(p) for p in problem["loc"])
    told = _TOLD.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    return InputError(
        f"field {shown(at)}: {told}" if at else told,
        where=where,
        fix="see the example in docs/getting-started.md",
    )


def load_datalist(
    path: str | Path,
    classes: LabelSpace,
    query: LabelSpace | None = None,
    *,
    allow_mixed_sizes: bool = False,
    need: tuple[Section, ...] = SECTIONS,
    queried_in: tuple[Section, ...] = ("test",),
    contract: InputContract | None = None,
) -> CheckedData:
    """Read a site's datalist and open every image of it.

    Unreadable images are left out and listed; everything else that is wrong is an error. Images of a queried
    class are left out of every section but those in ``queried_in``.

    Args:
        path: the JSON file.
        classes: the site's label space. Each class needs training and validation images.
        query: the queried classes.
        allow_mixed_sizes: images may differ in size, since the bundle resizes them anyway.
        need: the sections that may not be empty.
        queried_in: the sections in which images of queried classes are used: a transfer has a use for a few
            of them in ``training``; ``validation`` measures what is retained and takes none.
        contract: what the images are to be prepared for, if that is known.

    Raises:
        InputError: names the file and the field; or a patient or an image is in two sections, see ``leaks``.
    """
    path = Path(path)
    content = parse_datalist(path)
    labels = classes if query is None else classes.extended(query)
    own = LabelSpace(content.classes, where=f"{path}: classes") if content.classes else None
    earlier = [(f"left_out[{k}]", reason) for k, (_, reason) in enumerate(content.left_out)]
    data = CheckedData(content.name, content.generated, labels, {s: [] for s in SECTIONS}, skipped=earlier)
    found: list[tuple[Section, dict[str, Any]]] = []
    places: list[str] = []
    listed: list[Listed] = []
    for section in SECTIONS:
        for k, entry in enumerate(getattr(content, section)):
            label = _position(entry.label, labels, own, f"{path}: {section}[{k}].label")
            file = path.parent / entry.image
            at = f"{section}[{k}]"
            listed.append(Listed(section, at, file, str(label), entry.patient or ""))
            if label >= len(classes) and section not in queried_in:
                data.skipped.append((at, f"shows a queried class, in the {section} section"))
            else:
                places.append(at)
                found.append((section, {"image": str(file), "label": label}))
                if entry.patient is not None:
                    data.patients[str(file)] = entry.patient
                if entry.groups:
                    data.groups[str(file)] = entry.groups
    refuse_leaks(listed, str(path))
    check = check_images(
        [Path(i["image"]) for _, i in found],
        str(path),
        allow_mixed_sizes=allow_mixed_sizes,
        contract=contract,
        places=places,
    )
    for (section, item), readable in zip(found, check.readable, strict=True):
        if readable:
            data.items[section].append(item)
    data.skipped += check.skipped
    data.channels, data.spatial_size = check.channels, check.spatial_size
    data.kinds, data.modalities = check.kinds, check.modalities
    _refuse_empty(data, classes, path, need)
    return data


def listed_class(label: str | int, own: LabelSpace | None, at: str) -> ClassLabel:
    """The class that an entry of a datalist means.

    Args:
        label: its name, or its position in the file's list ``classes``.
        own: that list, where there is one.
        at: the field that an error should name.

    Raises:
        InputError: it is not in the list, or cannot be a class.
    """
    if isinstance(label, str):
        given = class_of(label, at)
        place = own.find(given) if own else None
        return given if place is None or own is None else own[place]
    if own is None or not 0 <= label < len(own):
        raise InputError(
            f"label {label} is not a position in the file's list 'classes'",
            where=at,
            fix="use class names as labels, or add the list 'classes'",
        )
    return own[label]


def _position(label: str | int, labels: LabelSpace, own: LabelSpace | None, at: str) -> int:
    named = listed_class(label, own, at)
    found = labels.find(named)
    if found is None:
        raise InputError(
            f"'{named.name}' is not one of the site's classes", where=at, fix=one_of(named.name, labels.names)
        )
    return found


def _refuse_empty(data: CheckedData, classes: LabelSpace, path: Path, need: tuple[Section, ...]) -> None:
    for section in need:
        counts = data.counts(section)
        empty = [n for n in classes.names if counts[n] == 0] if section != "test" else []
        if empty or not data.items[section]:
            raise InputError(
                f"class '{empty[0]}' has no images" if empty else "there are no images",
                where=f"{path}: {section}",
                fix="add images, or take the class out of the site's list 'classes'"
                if empty
                else "add images"
                + (", of each class; without any, nothing could be decided" if section == "test" else ""),
            )
