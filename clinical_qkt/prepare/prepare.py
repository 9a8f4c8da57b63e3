"""From a hospital's own images to a checked datalist, a site's YAML and a summary of what was found.

Nothing but ``local/`` holds a path, a file name or an identifier: everything else says salted hashes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from rich.console import Console
from tqdm import tqdm

from clinical_qkt.core.errors import InputError, QKTError
from clinical_qkt.core.files import copy_private, private_folder, write_json
from clinical_qkt.core.progress import UNIT
from clinical_qkt.data.class_names import require_plain
from clinical_qkt.data.datalist import SECTIONS, Section
from clinical_qkt.data.formats import suffix_of
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.leaks import refuse_sections
from clinical_qkt.data.splits import split
from clinical_qkt.prepare import page, summary
from clinical_qkt.prepare.exclude import (
    WHERE,
    drop_duplicates,
    given_sections,
    refuse_blank,
    refuse_if_none_is_left,
    refuse_many_unreadable,
    refuse_mixed_sizes,
    refuse_odd_channels,
)
from clinical_qkt.prepare.findings import Found
from clinical_qkt.prepare.groups import NEEDS_TABLE, groups_told
from clinical_qkt.prepare.labelling import FolderLabels, Labelling, TableLabels, labelling_of
from clinical_qkt.prepare.local_folder import LOCAL, LocalFolder, Row, whole_or_nothing
from clinical_qkt.prepare.open_images import Look
from clinical_qkt.prepare.open_volumes import Parts
from clinical_qkt.prepare.options import PrepareSettings, look_for
from clinical_qkt.prepare.patients import names_of_one, settle
from clinical_qkt.prepare.pseudonyms import Salt
from clinical_qkt.prepare.site_file import SiteFile, require_pseudonym
from clinical_qkt.prepare.source import ListedLabels, SourceFiles, open_files
from clinical_qkt.prepare.stacks import Stack, in_order, stacks


class Prepare:
    """One run of the command."""

    def __init__(self, settings: PrepareSettings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.out = settings.out.absolute()
        self.local = LocalFolder(self.out / LOCAL)
        self.found: list[Found] = []
        self.notes: list[str] = []

    def run(self) -> None:
        """From files to datalist.

        Raises:
            QKTError: the source or an option is wrong, or the folder holds something already.
        """
        require_pseudonym(self.settings.site)
        with whole_or_nothing(self.out, self.local, lambda: self.rows(None)):
            source = self.find()
            labelling = self.labelling(source)
            salt = self.local.open(self.settings.salt)
            look = look_for(self.settings, source.kind, labelling, salt, self.out / "images")
            self.open_all(source, look, salt)
            self.notes += look.told() if isinstance(look, Parts) else []
            self.notes += settle(self.found)
            refuse_many_unreadable(self.found, source.kind)
            piles = stacks([f for f in self.found if f.readable])
            self.found = in_order(self.found, piles)
            sections = None
            if labelling is None and not self.settings.voxel_labels:
                drop_duplicates(self.found)
            else:
                self.leave_out()
                sections = self.split(labelling)
                self.place_images(sections)
            self.note_what_was_decided(source, labelling, piles, sections)
            self.local.write_files(self.rows(source))
            self.local.write_names(names_of_one(self.found))
            self.summarise(source, piles, sections)
            if sections is not None:
                self.write(source, sections)
        page.tell_next(self.console, self.out, sections is not None, source.kind)

    def find(self) -> SourceFiles:
        """The files, and of which kind they are."""
        given = self.settings
        source = open_files(given.source, given.seed, self.out / "images")
        self.notes += source.notes
        return source

    def labelling(self, source: SourceFiles) -> Labelling | None:
        """Where labels come from; None for a survey, and where voxels are labelled.

        Raises:
            InputError: ``--labels`` is none of what it may be.
        """
        given = self.settings
        if source.labels is not None:
            if given.labels is not None:
                fix = "leave it out"
                raise InputError("is not needed: the source has labels", where="--labels", fix=fix)
            if given.groups:
                fix = "leave it out; the entries of a datalist may hold 'groups' themselves"
                raise InputError(NEEDS_TABLE, where="--groups", fix=fix)
            return source.labels
        if given.groups and given.labels is None:
            raise InputError(NEEDS_TABLE, where="--groups", fix="give --labels TABLE.csv, or leave it out")
        if given.voxel_labels:
            return None
        if given.labels is None:
            return labelling_of("folder") if source.kind == "picture" else None
        return labelling_of(given.labels, given.groups)

    def open_all(self, source: SourceFiles, look: Look, salt: Salt) -> None:
        """Facts of every file, one file at a time: pixels are not kept."""
        for path, file, kind in tqdm(source.files, "opening files", unit=UNIT, leave=False, disable=None):
            if kind != source.kind:
                reason = f"is another kind of file than most, which are {summary.KINDS[source.kind]}"
                name = salt.name("file", file.as_posix())
                self.found.append(Found(name, path, kind, reason, readable=False))
                continue
            try:
                found = list(look(path, file))
            except (OSError, QKTError):  # a full disk, a bug in an option: not the file's fault
                raise
            except Exception:  # arbitrary bytes can raise anything, and the text may quote them
                name = salt.name("file", file.as_posix())
                found = [Found(name, path, kind, "damaged: it cannot be decoded", readable=False)]
            for one in found:
                one.section = source.sections.get(file.as_posix())
            self.found += found

    def leave_out(self) -> None:
        """Odd images and duplicates.

        Raises:
            InputError: sizes differ and may not, or nothing is left.
        """
        refuse_if_none_is_left(self.found)
        refuse_odd_channels(self.found)
        refuse_blank(self.found)
        if not self.settings.allow_mixed_sizes:
            refuse_mixed_sizes(self.found)
        drop_duplicates(self.found)
        refuse_if_none_is_left(self.found)

    def kept(self) -> list[Found]:
        """What is not left out."""
        return [f for f in self.found if not f.reason]

    def split(self, labelling: Labelling | None) -> dict[Section, list[Found]]:
        """Which image is in which section.

        Raises:
            InputError: a class has too few images or patients.
        """
        kept = self.kept()
        classes = sorted({f.label for f in kept})
        where = WHERE if isinstance(labelling, ListedLabels) else "--labels"
        LabelSpace(classes, where=where)
        require_plain(classes, where)
        if isinstance(labelling, FolderLabels):
            refuse_sections(classes, WHERE)
        if kept[0].section is not None:
            return given_sections(kept)
        dealt = split([f.label for f in kept], [f.patient for f in kept], self.settings.seed, WHERE)
        return {s: [kept[i] for i in dealt[s]] for s in SECTIONS}

    def place_images(self, sections: dict[Section, list[Found]]) -> None:
        """A link to each original, under its salted name; a copy where links cannot be made."""
        folder = private_folder(self.out / "images")
        wanted = [f for images in sections.values() for f in images]
        for one in wanted:
            if one.written is None and one.path.parent != folder:
                suffix = ".dcm" if one.kind == "dicom" else suffix_of(one.path)
                one.written = folder / f"{one.name}{suffix}"
                try:
                    one.written.symlink_to(one.path.resolve())
                except OSError:
                    copy_private(one.path, one.written)
        kept = {os.fspath(f.written or f.path) for f in wanted}
        for path in folder.iterdir():
            if os.fspath(path) not in kept:
                path.unlink()

    def note_what_was_decided(
        self,
        source: SourceFiles,
        labelling: Labelling | None,
        piles: Sequence[Stack],
        sections: dict[Section, list[Found]] | None,
    ) -> None:
        """Everything that a user should know before training, in words."""
        kept = self.kept()
        self.notes += summary.dark_told(kept)
        self.notes += summary.patients_told(kept) + summary.lost_classes_told(self.found)
        self.notes += groups_told(kept)
        if isinstance(labelling, TableLabels):
            self.notes += labelling.notes()
        if isinstance(labelling, FolderLabels):
            self.notes += summary.empty_folders_told(self.settings.source, self.found)
        if sections is not None and not source.sections:
            self.notes.append(summary.split_told(sections, self.settings.seed))
        if sections is not None:
            self.notes += self.site_file(source, sections).notes
        self.notes += [oddity for stack in piles for oddity in stack.oddities()]

    def rows(self, source: SourceFiles | None) -> Iterator[Row]:
        """What became of each file, for the site alone."""
        for one in self.found:
            became = "used" if not one.reason else "left out" if one.readable else "refused"
            yield Row(one.name, one.path, became, one.reason, one.label)
        for path, reason in source.other.items() if source else ():
            yield Row("", path, "passed over", reason)

    def summarise(
        self, source: SourceFiles, piles: Sequence[Stack], sections: dict[Section, list[Found]] | None
    ) -> None:
        """The summary as JSON, as a page and in the terminal."""
        facts = summary.summary(self.found, piles, sections, self.notes)
        facts |= {"site": self.settings.site, "seed": self.settings.seed, "other_files": len(source.other)}
        write_json(self.out / "summary.json", facts, private=True)  # it has a line for each series
        page.write_page(self.out / "summary.html", facts)
        page.show(self.console, facts)

    def site_file(self, source: SourceFiles, sections: dict[Section, list[Found]]) -> SiteFile:
        """What the site's YAML will say of the images."""
        kept = self.kept()
        classes = sorted({f.label for f in kept})
        return SiteFile(
            site=self.settings.site,
            out=self.out,
            classes=[n for n in source.classes if n in classes] or classes,
            images=kept,
            training_images=len(sections["training"]),
            seed=self.settings.seed,
            allow_mixed_sizes=self.settings.allow_mixed_sizes,
            hounsfield=self.settings.intensity == "HU",
            longest_side=self.settings.longest_side,
        )

    def write(self, source: SourceFiles, sections: dict[Section, list[Found]]) -> None:
        """The site's YAML, and last of all the datalist."""
        self.site_file(source, sections).write(self.out / "site.yaml")
        listed = {s: [self.entry(f) for f in images] for s, images in sections.items()}
        left_out = [(f.name, f.reason) for f in self.found if f.reason]
        head = {
            "name": source.name or self.settings.site,
            "generated": source.generated,
            "left_out": left_out,
        }
        write_json(self.out / "datalist.json", {**head, **listed}, private=True)

    def entry(self, one: Found) -> dict[str, Any]:
        """An image's line in the datalist; a patient only where one is known: a guess protects nobody."""
        file: PurePath = (one.written or one.path).relative_to(self.out)
        known = one.patient_from != "image" or one.kind == "nifti"
        return {
            "image": file.as_posix(),
            "label": one.label,
            **({"patient": one.patient} if known else {}),
            **({"groups": dict(one.groups)} if one.groups else {}),
        }
