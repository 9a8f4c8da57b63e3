"""The lists in which a simulation's hospitals name their classes, and the labels that images have in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel, LabelSpace, SiteClass
from clinical_qkt.data.sources import Source
from clinical_qkt.research.benchmark.config import Scenario, in_turn
from clinical_qkt.research.benchmark.sub_types import SubTypes
from clinical_qkt.research.partitions import Ask


class LabelLists:
    """Who lists what.

    Args:
        source: all images.
        held: classes of each site, by position.
        sub_types: of the classes; with ``label_lists: finer`` alone.

    Attributes:
        names: what images are labelled with, as finely as is known.
        shown: ``(N,)`` of each image its place among these.
    """

    names: list[str]
    shown: NDArray[np.int64]

    def __init__(
        self, scenario: Scenario, source: Source, held: list[list[int]], seed: int, sub_types: SubTypes | None
    ) -> None:
        self.scenario, self.classes, self.held = scenario, source.classes, held
        self.sub_types = sub_types if scenario.label_lists == "finer" else None
        if scenario.label_lists == "finer" and sub_types is None:
            raise InputError(
                "no sub-types of the data's classes are known",
                where=f"scenario '{scenario.name}': label_lists",
                fix="give a folder of pictures with a labels.csv that tells them (--data)",
            )
        known = self.sub_types
        self.names, self.shown = (
            (known.names, known.shown) if known else (source.classes.names, source.labels)
        )
        self.rows = [self._rows(site, seed) for site in range(len(held))]

    def finer(self, site: int) -> bool:
        """Whether a site lists sub-types: every second does."""
        return self.sub_types is not None and site % 2 == 1

    def listed(self, site: int, classes: Sequence[int]) -> list[ClassLabel]:
        """Classes of the data as a site lists, or asks for them."""
        if self.sub_types is None:
            return [self.classes[c] for c in classes]
        return self.sub_types.finer(classes) if self.finer(site) else [*self.sub_types.coarser(classes)]

    def asks(self, site: int) -> bool:
        """Whether a site may be a student; none that lists sub-types is."""
        wanted = self.scenario.student
        named = wanted is None or f"hospital_{site + 1}" in in_turn(wanted)
        return named and not self.finer(site)

    def asked(self, ask: Ask) -> LabelSpace:
        """The student's classes, then the queried ones, with what it declares of them."""
        return LabelSpace([*self.own(ask.student), *self.listed(ask.student, ask.classes)])

    def own(self, site: int) -> LabelSpace:
        """What a site lists of what it has images of."""
        return LabelSpace(self.listed(site, self.held[site]))

    def wholes(self, site: int) -> list[SiteClass]:
        """What a site that lists sub-types answers for besides."""
        known = self.sub_types
        return known.wholes(self.held[site]) if known and self.finer(site) else []

    def places(self, labels: LabelSpace) -> dict[int, int | None]:
        """Of everything that images are labelled with its position in a list; None: not in it."""
        return {k: labels.find(name) for k, name in enumerate(self.names)}

    def _rows(self, site: int, seed: int) -> LabelSpace:
        """The rows of a site's model, with what the site declares of them: it has to know its own images."""
        everything = range(len(self.classes))
        if self.scenario.label_lists != "own":
            return LabelSpace(self.listed(site, everything))
        return own_words(self.classes, self.held, seed)[site]


def own_words(classes: LabelSpace, held: list[list[int]], seed: int) -> list[LabelSpace]:
    """Each site's list in an order and a spelling of its own: what it has, and one class that it has not.

    Args:
        classes: of the data.
        held: of each site, by position.
    """
    rng = np.random.default_rng([seed, 3])
    lists = []
    for site, mine in enumerate(held):
        heard_of = rng.choice([c for c in range(len(classes)) if c not in mine])
        order = rng.permutation([*mine, heard_of])
        lists.append(LabelSpace([_spelt(classes[int(c)], site) for c in order]))
    return lists


def _spelt(label: ClassLabel, site: int) -> ClassLabel:
    """A name as the site writes it: sites differ in case and in what stands between words."""
    spellings = (label.name, label.name.upper().replace(" ", "_"), label.name.title().replace(" ", "-"))
    return label.model_copy(update={"name": spellings[site % 3]})
