"""A site audits its own model before it shares it: membership inference against its own training images."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import torch

from clinical_qkt.audit import membership
from clinical_qkt.audit.shadows import Recipe, confidences_of, halves, shadow_networks
from clinical_qkt.core.errors import InputError
from clinical_qkt.packages.model import Model
from clinical_qkt.privacy.statement import FEWEST, MembershipFigures, PrivacyAudit
from clinical_qkt.training.inference import Images, labels_of

__all__ = ["LEAST_SHADOWS", "Recipe", "audit_model"]

LEAST_SHADOWS = 4
"""Two with each image and two without: fewer have no spread."""


def audit_model(
    model: Model,
    members: Images,
    others: Images,
    recipe: Recipe,
    *,
    shadow_models: int = 8,
    seed: int,
    device: torch.device,
    work: Path,
    patients: Sequence[Hashable] | None = None,
) -> PrivacyAudit:
    """Attack a model with a likelihood ratio, a pairwise ratio and a loss threshold; see ``membership``.

    The figures hold for attackers who know such images and the recipe and see the model's probabilities. They
    are a floor, not a ceiling: a better attack, or more shadow models, may find more. And they compare like
    with like only if ``others`` are drawn as ``members`` were, but from *other patients*: an image of a
    member's patient among the others makes the model look safer than it is.

    Args:
        model: trained on ``members`` and never on ``others``.
        members, others: ``{"image", "label"}`` prepared for the model (``data.transforms.cached``), labels in
            the order of its rows. Classes should be as frequent in both.
        recipe: how the model was trained.
        shadow_models: even; 0 leaves the two ratios out.
        work: folder of its own in which a killed audit finds what it had done; the caller removes it.
        patients: a name for each member's and then each other's patient, so that a shadow model is trained
            on all images of a patient or none.

    Raises:
        InputError: too few images or shadow models to say anything.
    """
    if shadow_models and (shadow_models < LEAST_SHADOWS or shadow_models % 2):
        raise InputError(
            f"{shadow_models} shadow models cannot be used",
            where="audit: shadow_models",
            fix=f"give an even number from {LEAST_SHADOWS} on, or 0 for the loss threshold alone",
        )
    for what, images in (("training images", members), ("images that the model never saw", others)):
        if len(images) < FEWEST:
            raise InputError(
                f"{len(images)} {what} are too few for an audit",
                where="audit",
                fix=f"an audit needs {FEWEST} of each; share without one, and say so",
            )
    everyone = [images[i] for images in (members, others) for i in range(len(images))]
    is_member = np.arange(len(everyone)) < len(members)
    labels = labels_of(everyone).numpy()
    target = confidences_of(model.network, everyone, device)
    scores: dict[membership.Attack, membership.Floats] = {}
    if shadow_models:
        included = halves(labels, shadow_models, seed, patients)
        classes = len(model.card.label_space)
        networks = shadow_networks(everyone, included, classes, recipe, seed=seed, device=device, work=work)
        shadows = np.stack([confidences_of(network, everyone, device) for network in networks])
        scores |= membership.ratios(target, shadows, included)
    scores["loss_threshold"] = membership.loss_scores(target)
    rarest = membership.rarest_class(labels, is_member)
    found: list[MembershipFigures] = []
    for attack, score in scores.items():
        found.append(membership.figures(attack, "all_classes", score, is_member))
        if rarest is not None:
            mine = labels == rarest
            found.append(membership.figures(attack, "rarest_class", score[mine], is_member[mine]))
    return PrivacyAudit(shadow_models=shadow_models, figures=found)
