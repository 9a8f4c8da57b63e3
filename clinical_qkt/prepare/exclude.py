"""Which of the opened images are left out: odd ones, duplicates; and when the lot is refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import SECTIONS, Section
from clinical_qkt.data.formats import Kind
from clinical_qkt.data.images import BLANK, MAX_UNREADABLE, size_of
from clinical_qkt.data.leaks import refuse_shared_patients
from clinical_qkt.prepare.findings import Found

WHERE = "SOURCE"
"""What errors call the folder that was given, since its name may be a patient's."""
LOOK = "local/files.csv in the output folder names the files and the reasons"


def refuse_many_unreadable(found: Sequence[Found], kind: Kind) -> None:
    """DICOM folders hold reports and directories; among pictures and volumes many bad files are a mistake.

    Raises:
        InputError: nothing can be read, or too little of it.
    """
    mine = [f for f in found if f.kind == kind]
    bad = [f for f in mine if not f.readable]
    if len(bad) == len(mine) or (kind != "dicom" and len(bad) > MAX_UNREADABLE * len(mine)):
        (reason, fix), _ = Counter((f.reason, f.fix) for f in bad).most_common(1)[0]
        raise InputError(
            f"{len(bad)} of {len(mine)} files cannot be read; most often: {reason}",
            where=WHERE,
            fix=f"{fix or 'check that the copy is complete'}; {LOOK}",
        )


def refuse_if_none_is_left(found: Sequence[Found]) -> None:
    """
    Raises:
        InputError: every image was refused.
    """
    if all(f.reason for f in found):
        (reason, fix), count = Counter((f.reason, f.fix) for f in found).most_common(1)[0]
        raise InputError(
            f"no image can be used; most often ({count}): {reason}",
            where=WHERE,
            fix=f"{fix}; {LOOK}" if fix else LOOK,
        )


def refuse_odd_channels(found: Sequence[Found]) -> None:
    """Leave out images with another number of channels than most; many such pictures are a mistake.

    Raises:
        InputError: too many pictures have another number.
    """
    kept = [f for f in found if not f.reason]
    usual = Counter(f.shape[0] for f in kept).most_common(1)[0][0]
    odd = [f for f in kept if f.shape[0] != usual]
    for one in odd:
        one.reason = f"has {one.shape[0]} channels, most images have {usual}"
    if kept[0].kind == "picture" and len(odd) > MAX_UNREADABLE * len(kept):
        raise InputError(
            f"some pictures are grey and some are in colour: {len(odd)} of {len(kept)} have "
            f"{odd[0].shape[0]} channels, most have {usual}",
            where=WHERE,
            fix=f"convert all pictures to grey, or all to colour; {LOOK}",
        )


def refuse_blank(found: Sequence[Found]) -> None:
    """Leave out images that show nothing; among pictures many of them are a mistake.

    Raises:
        InputError: nothing is left, or too many pictures are blank.
    """
    kept = [f for f in found if not f.reason]
    blank = [f for f in kept if f.blank]
    for one in blank:
        one.reason = BLANK
    if kept[0].kind == "picture" and len(blank) > MAX_UNREADABLE * len(kept):
        raise InputError(
            f"{len(blank)} of {len(kept)} pictures show nothing: all their pixels have the same value",
            where=WHERE,
            fix=f"look at some of them, and at how they were exported; {LOOK}",
        )
    refuse_if_none_is_left(found)


def refuse_mixed_sizes(found: Sequence[Found]) -> None:
    """
    Raises:
        InputError: sizes differ.
    """
    sizes = Counter(size_of(f.shape) for f in found if not f.reason).most_common()
    if len(sizes) > 1:
        rest = sum(n for _, n in sizes[1:])
        raise InputError(
            f"images differ in size: {sizes[0][1]} are {sizes[0][0]}, {rest} are not, e.g. {sizes[1][0]}",
            where=WHERE,
            fix="crop or resample them alike, or give --allow-mixed-sizes to let the bundle resize them",
        )


def drop_duplicates(found: Sequence[Found]) -> None:
    """Of the same picture the first one stays, unless it has another label elsewhere: then none does."""
    same: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        if not one.reason:
            same[one.digest].append(one)
    for images in same.values():
        if len({f.label for f in images}) > 1:
            for one in images:
                one.reason, one.duplicate = "shows the same as another image, which has another label", True
        else:
            for one in images[1:]:
                one.reason, one.duplicate = f"shows the same as {images[0].name}", True


def given_sections(kept: Sequence[Found]) -> dict[Section, list[Found]]:
    """The source's own sections.

    Raises:
        InputError: a section lacks images that a training needs, or a patient is in two sections.
    """
    # Those who made the list may not have known what headers say; where nothing says it, images stand apart.
    told = ((f.patient, f.section or "") for f in kept if f.patient_from != "image")
    refuse_shared_patients(told, WHERE)
    sections: dict[Section, list[Found]] = {s: [f for f in kept if f.section == s] for s in SECTIONS}
    for section, images in sections.items():
        lacking = {f.label for f in kept} - {f.label for f in images}
        if not images or (lacking and section != "test"):
            raise InputError(
                f"class '{min(lacking)}' has no images" if images else "there are no images",
                where=f"{WHERE}: {section}",
                fix="add images, or take the class out of the source",
            )
    return sections
