"""A federation under attack: held-out images beside each site's own, shadow models, private training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from clinical_qkt.audit.membership import Bools
from clinical_qkt.audit.shadows import Recipe, halves, shadow_networks
from clinical_qkt.data.look_augmentation import look_augmentation
from clinical_qkt.data.sources import Source
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model, is_model, load_model, save_model
from clinical_qkt.privacy.statement import DifferentialPrivacy, PrivacyStatement
from clinical_qkt.research.benchmark.config import in_turn
from clinical_qkt.research.benchmark.federation import Federation
from clinical_qkt.research.benchmark.privacy.config import AttackedScenario, PrivateTrainingSettings
from clinical_qkt.research.methods.case import Case
from clinical_qkt.research.partitions import Ask
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.dp_training import train_privately
from clinical_qkt.training.inference import labels_of


@dataclass(frozen=True)
class Known:
    """What an attacker of one site's model knows.

    Attributes:
        images: the site's training images, then as many that nobody trained on; prepared for its model,
            labels in the order of its rows.
        members: ``(N,)``: which are the former.
        included: ``(S, N)``: which shadow model was trained on which image.
    """

    images: list[dict[str, Any]]
    members: Bools
    included: Bools


class AttackedFederation(Federation):
    """Sites with images of the same classes that no site trains or validates on, dealt to the sites.

    Args:
        whole: all images of the data; those that the federation has no part in become the held-out ones.
        prepared: all of them as a network gets them.
        folder: where the models are kept.
        shadows: shadow models of each site.
    """

    scenario: AttackedScenario

    def __init__(
        self,
        whole: Source,
        prepared: dict[int, dict[str, Any]],
        scenario: AttackedScenario,
        seed: int,
        device: torch.device,
        folder: Path,
        shadows: int,
    ) -> None:
        self.prepared = prepared
        self.whole, self.shadows = whole, shadows
        self._cases: dict[Ask, Case] = {}
        super().__init__(whole.limited(scenario.max_per_class, seed), scenario, seed, device, folder)

    @cached_property
    def held_out(self) -> list[list[int]]:
        """For each site as many images of each of its classes as it trains on, and none for two sites."""
        used = np.concatenate([self.source.splits["training"], self.source.splits["validation"]])
        free = np.setdiff1d(np.concatenate(list(self.whole.splits.values())), used)
        rng = np.random.default_rng([self.seed, 13])
        out: list[list[int]] = [[] for _ in self.classes]
        for c in range(len(self.whole.classes)):
            mine = rng.permutation(free[self.whole.labels[free] == c])
            holders = [site for site, classes in enumerate(self.classes) if c in classes]
            for k, site in enumerate(holders):
                most = int((self.source.labels[self.positions[site]["training"]] == c).sum())
                out[site] += sorted(mine[k :: len(holders)][:most].tolist())
        return out

    def case(self, ask: Ask) -> Case:
        """The same for each attack on a query, with what was computed for others."""
        if ask not in self._cases:
            self._cases[ask] = super().case(ask)
        return self._cases[ask]

    def known(self, site: int) -> Known:
        """What an attacker of a site's model has."""
        own, others = self.positions[site]["training"], self.held_out[site]
        images = self.images.view(self._items((*own, *others), self.lists[site], site), self.contract(site))
        labels = labels_of(images).numpy()
        return Known(
            images,
            np.arange(len(images)) < len(own),
            halves(labels, self.shadows, self.seed * 101 + site),
        )

    def candidates(self, site: int, c: int, case: Case) -> tuple[list[dict[str, Any]], Bools]:
        """A site's training images of one class, then as many that nobody trained on, as a student sees them.

        Args:
            c: position of the class in the data.
            case: the student's; labels are in its columns.

        Returns:
            The images, and ``(N,)`` which are the former.
        """
        own, others = (
            [i for i in positions if self.whole.labels[i] == c]
            for positions in (self.positions[site]["training"], self.held_out[site])
        )
        images = self.images.view(self._items((*own, *others), case.labels, site), case.own.card.input)
        return images, np.arange(len(images)) < len(own)

    def recipe(self, site: int) -> Recipe:
        """How the site's model was trained."""
        contract, private = self.contract(site), self.scenario.private
        names = in_turn(self.scenario.architecture)
        name = names[site % len(names)]
        spec = preset(name, contract.channels, contract.spatial_size)
        augment = [*self.augment, *look_augmentation(self.scenario.training_looks, contract)]
        how = spec, self.scenario.max_epochs, 16, self.scenario.learning_rate, augment
        plain = Recipe(*how, mix_style=self.scenario.mix_style)
        if private is None:
            return plain
        return replace(plain, train=partial(_private_shadow, private), kind=f"private {private!r}")

    def shadow_models(self, site: int) -> list[nn.Module]:
        """The site's shadow models, trained on first use and kept."""
        known = self.known(site)
        return list(
            shadow_networks(
                known.images,
                known.included,
                len(self.lists[site]),
                self.recipe(site),
                seed=self.seed * 101 + site,
                device=self.device,
                work=self.folder / "shadows" / self.names[site],
                what=f"shadow models of {self.names[site]}",
            )
        )

    def _model(self, site: int) -> Model:
        """With differential privacy where the scenario says so; what it promises stands on the card."""
        private, folder = self.scenario.private, self.folder / self.names[site]
        if private is None or is_model(folder):
            return super()._model(site)
        images = self._items(self.positions[site]["training"], self.lists[site], site)
        items = self.images.view(images, self.contract(site))
        recipe = self.recipe(site)
        torch.manual_seed(self.seed)
        network = self.network(site)
        network, promise = _privately(private, recipe, network, items, self.device, f"train {folder.name}")
        card = Card(
            site=self.names[site],
            task="benchmark",
            label_space=list(self.lists[site]),
            network=recipe.network,
            head=find_head(network),
            input=self.contract(site),
            privacy=PrivacyStatement(training=promise),
            generated_data=self.source.generated,
            licence=["for this benchmark only"],
        )
        save_model(folder, network, card)
        return load_model(folder)


def _privately(
    private: PrivateTrainingSettings,
    recipe: Recipe,
    network: nn.Module,
    items: Sequence[dict[str, Any]],
    device: torch.device,
    what: str,
) -> tuple[nn.Module, DifferentialPrivacy]:
    return train_privately(
        network,
        items,
        recipe.augment,
        SINGLE_LABEL.loss,
        device=device,
        what=what,
        **private.model_dump(),
    )


def _private_shadow(
    private: PrivateTrainingSettings,
    recipe: Recipe,
    network: nn.Module,
    items: Sequence[dict[str, Any]],
    *,
    device: torch.device,
    what: str,
    **_: Any,
) -> nn.Module:
    """As ``shadows.supervised``, without a seed and without resuming: a private training has neither."""
    return _privately(private, recipe, network, items, device, what)[0]
