"""The audit that ``share`` makes: of a site's own model, with its own images, by its own recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clinical_qkt.audit.shadows import Recipe
from clinical_qkt.audit.site import audit_model
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.transforms import cached
from clinical_qkt.networks.spec import NetworkSpec, linear_head
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.weights_file import WeightsFile
from clinical_qkt.privacy.statement import DifferentialPrivacy, PrivacyAudit
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.head_fit import fit_head
from clinical_qkt.training.inference import Images, head_inputs, labels_of


@dataclass(frozen=True)
class Audit:
    """What an audit needs; see ``site.audit_model``.

    Attributes:
        recipe: how the model was trained.
        members, others: images that it was trained on, and images that it never saw.
        patients: the patient of each of these images, members first; None unless the datalist names all.
        work: folder in which an audit that was cut off finds what it had done.
    """

    recipe: Recipe
    shadow_models: int
    members: list[dict[str, Any]]
    others: list[dict[str, Any]]
    patients: list[str] | None
    seed: int
    work: Path

    def run(self, model: Model, read: list[Any], device: torch.device) -> PrivacyAudit:
        """Prepare the images and attack the model.

        Raises:
            InputError: too few images or shadow models to say anything.
        """
        given = model.card.input
        sections = (self.members, "training images"), (self.others, "other images")
        members, others = (cached(items, read, given, what) for items, what in sections)
        ends = len(members)
        return audit_model(
            model,
            _with_patients(members, self.patients and self.patients[:ends]),
            _with_patients(others, self.patients and self.patients[ends:]),
            self.recipe,
            shadow_models=self.shadow_models,
            seed=self.seed,
            device=device,
            work=self.work,
            patients=self.patients,
        )


def audit_of(
    model: Model,
    data: CheckedData,
    augment: list[Any],
    shadow_models: int,
    seed: int,
    work: Path,
    mix_style: bool = False,
    weights: WeightsFile | None = None,
) -> Audit:
    """The audit of a site's model: training images against validation and test images of its classes.

    Args:
        augment, mix_style: how the model was trained, which its card does not tell.
        weights: from which its training started, as the site's YAML names them.

    Raises:
        InputError: the model is none that the site trained itself, or started from other weights.
    """
    network = model.card.network
    if not isinstance(network, NetworkSpec):
        raise InputError(
            "is a committee or was made of statistics: there is no recipe for shadow models of it",
            where=str(model.folder),
            fix="audit the model that the site trained itself",
        )
    how = model.card.training
    if how is None or how.batch_size is None or how.learning_rate is None:
        raise InputError(
            "its card does not tell how it was trained: shadow models could not be trained alike",
            where=str(model.folder),
            fix="train it again with this version, or share it without an audit",
        )
    _require_start(model, weights)
    head_alone = weights is not None and weights.about.trained_layers == "head"
    recipe = Recipe(
        network,
        how.epochs,
        how.batch_size,
        how.learning_rate,
        [] if head_alone else augment,
        mix_style=mix_style,
        weights=weights,
    )
    if how.head_penalty is not None:
        recipe = with_fitted_head(recipe, how.head_penalty)
    if model.card.privacy.training:
        recipe = with_privacy(recipe, model.card.privacy.training)
    members = data.items["training"]
    others = [item for section in ("validation", "test") for item in data.items[section]]
    others = [item for item in others if item["label"] < len(model.card.label_space)]
    patients = [data.patients.get(item["image"]) for item in (*members, *others)]
    named = None if None in patients else [str(p) for p in patients]
    return Audit(recipe, shadow_models, members, others, named, seed, work)


def with_fitted_head(recipe: Recipe, penalty: float) -> Recipe:
    """The same recipe with a head that is fitted at once, see ``training.head_fit``."""

    def fitted(
        how: Recipe, network: nn.Module, items: Sequence[dict[str, Any]], *, device: torch.device, **_: Any
    ) -> nn.Module:
        features = head_inputs(network.to(device).eval(), items, device)
        fit_head(linear_head(network), features, labels_of(items), penalty)
        return network

    return replace(recipe, train=fitted, kind=f"head fitted with a penalty of {penalty}")


def with_privacy(recipe: Recipe, promise: DifferentialPrivacy) -> Recipe:
    """The same recipe with differential privacy, as the card states it, for patients or for images."""

    def train(
        how: Recipe,
        network: nn.Module,
        items: Sequence[dict[str, Any]],
        *,
        device: torch.device,
        what: str,
        **_: Any,
    ) -> nn.Module:
        from clinical_qkt.training.dp_training import train_privately

        return train_privately(
            network,
            items,
            how.augment,
            SINGLE_LABEL.loss,
            epsilon=promise.epsilon,
            delta=promise.delta,
            max_grad_norm=promise.max_grad_norm,
            max_epochs=how.max_epochs,
            learning_rate=how.learning_rate,
            batch_size=how.batch_size,
            device=device,
            what=what,
            patients=[item["patient"] for item in items] if promise.unit == "patient" else None,
        )[0]

    return replace(recipe, train=train, kind=f"private {promise.model_dump_json()}", mix_style=False)


def _require_start(model: Model, weights: WeightsFile | None) -> None:
    """Shadow models start from the same weights, or they would be further from the model than others' are.

    Raises:
        InputError: the site's YAML names none, or others, or other layers were trained.
    """
    started, named = model.card.pretrained, [weights.about] if weights else []
    if started != named:
        told = "; ".join(one.told for one in started) or "random weights"
        layers = f" and 'trained_layers: {started[0].trained_layers}'" if started else ""
        raise InputError(
            f"its training started from {told}, which the site's YAML does not name: shadow models could not "
            "be trained alike",
            where=str(model.folder),
            fix=f"name the same file under 'pretrained'{layers}, or share it without an audit",
        )


def _with_patients(images: Images, names: Sequence[str] | None) -> Images:
    """Prepared images with the patient of each, for a training that protects patients."""
    return [{**images[i], "patient": name} for i, name in enumerate(names)] if names else images
