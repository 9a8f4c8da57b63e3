"""Simulated federations for comparisons: partitions, site models trained once and kept, queries.

The site models have a row for every class of the data, though each was trained on some: whether a model
really knows a class has to be found out by masks, as in the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clinical_qkt.core.errors import QueryError
from clinical_qkt.core.files import sha256
from clinical_qkt.data.folds import folds_of
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace, align
from clinical_qkt.data.look_augmentation import look_augmentation
from clinical_qkt.data.sources import Source
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.spec import NetworkSpec, find_head, preset, reshape_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model, is_model, load_model, save_model
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.teachers import AlignedModel, Teacher
from clinical_qkt.research.benchmark.config import Scenario, in_turn
from clinical_qkt.research.benchmark.known_numbers import KnownNumbers
from clinical_qkt.research.benchmark.label_lists import LabelLists
from clinical_qkt.research.benchmark.partition import (
    as_they_come,
    askable,
    dealt,
    shares_of,
    site_models,
)
from clinical_qkt.research.benchmark.seen_once import SeenOnce
from clinical_qkt.research.benchmark.site_images import SiteImages, contract_of, prepare
from clinical_qkt.research.benchmark.site_networks import fitted, said_of, started
from clinical_qkt.research.benchmark.sub_types import SubTypes
from clinical_qkt.research.benchmark.told_looks import telling
from clinical_qkt.research.methods.case import Case, Member
from clinical_qkt.research.partitions import Ask
from clinical_qkt.research.shift import Look, look_of
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.own_folds import by_folds, missing_class


class Federation:
    """Sites with their data and models, for one scenario and seed.

    Args:
        source: all images.
        folder: where the site models are kept.
        of_site: ``(N,)``, the site that each image comes from; None: they are dealt to the sites.
        sub_types: of the classes, where some sites list these.
    """

    def __init__(
        self,
        source: Source,
        scenario: Scenario,
        seed: int,
        device: torch.device,
        folder: Path,
        of_site: NDArray[np.int64] | None = None,
        sub_types: SubTypes | None = None,
    ) -> None:
        self.source, self.scenario, self.seed, self.device = source, scenario, seed, device
        self.of_site = of_site
        shares = shares_of(scenario, len(source.classes), seed)
        self.classes = [np.flatnonzero(row).tolist() for row in shares]
        self.label_lists = LabelLists(scenario, source, self.classes, seed, sub_types)
        self.lists = self.label_lists.rows
        self.aside: dict[int, list[int]] = {}
        if of_site is None:
            self.positions, self.aside = dealt(source, shares, scenario.queried_images, seed)
        else:
            self.positions = as_they_come(source, self.classes, of_site)
        self.folder = folder / site_models(scenario, seed, source.name, self.classes)
        self.raw = contract_of(self.prepared[int(source.splits["training"][0])]["image"])
        self.augment = symmetries(self.raw.spatial_size)
        self.names = [f"hospital_{i + 1}" for i in range(scenario.sites)]
        self._by_folds = scenario.held_out_folds > 0
        self.images = SiteImages(self.prepared, self.raw, [self.look(i) for i in range(scenario.sites)])

    @cached_property
    def prepared(self) -> dict[int, dict[str, Any]]:
        """Every image that is used, as the data have it: position -> ``{"image", "label"}``."""
        sides = [side for side in in_turn(self.scenario.spatial_size) if side is not None]
        return prepare(self.source, max(sides, default=None))

    def look(self, site: int) -> Look | None:
        """How a site's images look; None if as the data have them."""
        if self.scenario.shift == "none":
            return None
        return look_of(self.seed, site, self.scenario.shift, self.scenario.shift_parts, self.raw.channels)

    def contract(self, site: int) -> InputContract:
        """What a site's model expects of images."""
        sizes = in_turn(self.scenario.spatial_size)
        side = sizes[site % len(sizes)]
        size = self.raw.spatial_size if side is None else [side] * len(self.raw.spatial_size)
        return self.raw.model_copy(update={"spatial_size": size})

    @cached_property
    def models(self) -> list[Model]:
        """The sites' models, trained on first use and kept; a row for each class of the data."""
        return [self._model(i) for i in range(self.scenario.sites)]

    @cached_property
    def frozen(self) -> KnownNumbers | None:
        """What the network gives of all images, where its head alone is trained."""
        if self.scenario.pretrained is None or self.scenario.trained_layers != "head":
            return None
        made = self._spec(0), self.network(0).eval(), self.contract(0)
        about = f"{sha256(self.scenario.pretrained)} {self.source.name} {len(self.source.labels)}"
        return KnownNumbers(*made, about, self.folder.parent / "known", self.prepared, self.device)

    @cached_property
    def _seen(self) -> SeenOnce | None:
        dear = self.scenario.pretrained is not None and self.frozen is None
        return SeenOnce([model.network for model in self.models], self.device) if dear else None

    @cached_property
    def probed(self) -> list[Teacher]:
        """The models with what probes say of them."""
        if self.frozen:
            return self.frozen.probed(self.models, self.seed)
        how: dict[str, Any] = {"seed": self.seed, "device": self.device, "kept": self.folder / "probed"}
        return [probe(AlignedModel(model, {}), **how) for model in self.models]

    def queries(self, count: int) -> list[Ask]:
        """A seeded sample of all queries that some other site can answer."""
        asks = askable(self.classes, self.scenario.query_size)
        asks = [ask for ask in asks if self.label_lists.asks(ask.student)]
        if not asks:
            raise QueryError(
                f"no site lacks {self.scenario.query_size} classes",
                where=f"scenario '{self.scenario.name}': query_size",
                fix="ask for fewer classes at once, or give the sites fewer",
            )
        order = np.random.default_rng([self.seed, 7]).permutation(len(asks))
        return [asks[i] for i in order[:count]]

    def case(self, ask: Ask) -> Case:
        """What a method is given."""
        own, labels = self._own(ask.student), self.label_lists.asked(ask)
        extra = [int(i) for c in ask.classes for i in self.aside.get(c, ())]
        return Case(
            own=own,
            labels=labels,
            query=list(range(len(own.card.label_space), len(labels))),
            training=self._shown(
                [*self.positions[ask.student]["training"], *extra], labels, ask.student, own.card.input
            ),
            validation=self._shown(
                self.positions[ask.student]["validation"], labels, ask.student, own.card.input
            ),
            teachers=[
                replace(t, columns=align(t.model.card.labels, labels))
                for i, t in enumerate(self.probed)
                if i != ask.student
            ],
            augment=self.augment,
            seed=self.seed,
            device=self.device,
            shared=self.folder / "shared",
            view=self.images.view,
            federation=lambda: self._members(ask.student),
            in_own_look=lambda: self._in_own_look(ask.student),
            own_held_out=self._held_out(ask.student, own, extra, labels) if self._by_folds else None,
            known=self.frozen,
            seen=self._seen,
        )

    def test_items(self, ask: Ask) -> list[dict[str, Any]]:
        """Test images of the student's and the queried classes in the student's look, for scoring alone."""
        labels, test = self.label_lists.asked(ask), self.source.splits["test"]
        mine = test if self.of_site is None else test[self.of_site[test] == ask.student]
        return self._shown(mine.tolist(), labels, ask.student, self.contract(ask.student))

    def _items(self, positions: Sequence[int], labels: LabelSpace, site: int) -> list[dict[str, Any]]:
        """Raw images of some classes in the look of a site, which views of them keep."""
        lists = self.label_lists
        told = [{"label": int(lists.shown[i]), "position": i, "site": site} for i in positions]
        found = [{**self.prepared[i], **item} for i, item in zip(positions, told, strict=True)]
        return self.images.view(SINGLE_LABEL.relabelled(found, lists.places(labels)), self.raw)

    def _shown(
        self, positions: Sequence[int], labels: LabelSpace, site: int, contract: InputContract
    ) -> list[dict[str, Any]]:
        return self.images.view(self._items(positions, labels, site), contract)

    def _members(self, student: int, look: int | None = None) -> list[Member]:
        """All sites, the student's first; in their own looks, or all in one site's."""
        order = [student, *(i for i in range(len(self.names)) if i != student)]
        own = {i: self._own(i) for i in order}
        return [
            Member(
                own[i],
                self._items(self.positions[i]["training"], own[i].card.labels, i if look is None else look),
                self.label_lists.wholes(i),
            )
            for i in order
        ]

    def _in_own_look(self, student: int) -> list[Member]:
        if self.of_site is not None:
            raise QueryError(
                "nobody knows how another laboratory's images would look at the student's",
                where=f"scenario '{self.scenario.name}': other_site",
                fix="leave out methods that need this, or simulate looks with 'shift'",
            )
        return self._members(student, look=student)

    def _own(self, site: int) -> Model:
        """A site's model with rows for its own classes alone, as the site itself uses it."""
        model = self.models[site]
        listed = list(self.label_lists.own(site))
        network = self._own_rows(site, model.network)
        card = model.card.model_copy(update={"label_space": listed})
        return Model(network, card, model.folder, model.bytes)

    def _own_rows(self, site: int, network: nn.Module) -> nn.Module:
        own = self.label_lists.own(site)
        rows = {i: row for row, i in align(self.lists[site], own).items()}
        return reshape_head(network, rows, len(own)).eval()

    def _held_out(self, student: int, own: Model, extra: list[int], labels: LabelSpace) -> Tensor | None:
        """What networks by folds say of a student's training images, see ``Student.own_held_out``.

        Args:
            extra: its images of queried classes, to which its own model was not fitted either.

        Returns:
            ``(training images and extra ones, own classes)``, trained on first use and kept; None if some
            network would not know a class.
        """
        items, name = self._training(student), self.names[student]
        classes = SINGLE_LABEL.targets(items)
        folds = folds_of(classes, count=self.scenario.held_out_folds, seed=self.seed)
        if missing_class(folds, classes) is not None:
            return None

        def said(fold: int, others: list[int], mine: list[int]) -> Tensor:
            what = f"train {name} without fold {fold + 1}"
            network = self._own_rows(student, self._trained(student, [items[i] for i in others], what))
            return said_of(network, [items[i] for i in mine], self.frozen, self.device)

        held_out = by_folds(folds, said, self.folder / f"{name}_held_out")
        if not extra:
            return held_out
        queried = self._shown(extra, labels, student, own.card.input)
        return torch.cat([held_out, said_of(own.network, queried, self.frozen, self.device)])

    def _spec(self, site: int) -> NetworkSpec:
        architectures, contract = in_turn(self.scenario.architecture), self.contract(site)
        return preset(architectures[site % len(architectures)], contract.channels, contract.spatial_size)

    def network(self, site: int) -> nn.Module:
        """A site's network before its training."""
        return started(self.scenario, self._spec(site), len(self.lists[site]))

    def _training(self, site: int) -> list[dict[str, Any]]:
        return self._shown(self.positions[site]["training"], self.lists[site], site, self.contract(site))

    def _trained(self, site: int, items: list[dict[str, Any]], what: str) -> nn.Module:
        """A site's network; a row for each class of the data."""
        torch.manual_seed(self.seed)
        network, scenario = self.network(site), self.scenario
        augment = [*self.augment, *look_augmentation(scenario.training_looks, self.contract(site))]
        return fitted(network, items, augment, scenario, self.seed, self.device, what, self.frozen)

    def _model(self, site: int) -> Model:
        folder = self.folder / self.names[site]
        if not is_model(folder):
            spec, contract = self._spec(site), self.contract(site)
            network = self._trained(site, self._training(site), f"train {self.names[site]}")
            card = Card(
                site=self.names[site],
                task="benchmark",
                label_space=list(self.lists[site]),
                network=spec,
                head=find_head(network),
                input=contract,
                generated_data=self.source.generated,
                licence=["for this benchmark only"],
            )
            save_model(folder, network, card)
        return telling(load_model(folder), self._training(site))
