"""The ends of a site's stages: the trained model, the teacher package, the model that was gained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clinical_qkt.audit.own import Audit
from clinical_qkt.bundle import looks
from clinical_qkt.bundle.by_folds import note_recipe
from clinical_qkt.bundle.published_mask import published
from clinical_qkt.core.files import drop_unfinished
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import cached
from clinical_qkt.evidence import metrics
from clinical_qkt.networks.spec import NetworkSpec, find_head
from clinical_qkt.packages.card import Card, KnowledgeMask, Precision
from clinical_qkt.packages.licences import joined
from clinical_qkt.packages.made_of import require_may_travel
from clinical_qkt.packages.model import Model, in_precision, save_model
from clinical_qkt.packages.pretrained import PretrainedWeights
from clinical_qkt.packages.signing import require_private_key
from clinical_qkt.privacy.statement import (
    DifferentialPrivacy,
    PrivacyStatement,
    TrainingSummary,
    coarse,
)
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.teachers import AlignedModel
from clinical_qkt.site.config import Site
from clinical_qkt.site.consent import Leaving, require_no_identifiers
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.best import Best
from clinical_qkt.training.inference import labels_of, logits_of


def finish_training(
    site: Site,
    task: str,
    network: nn.Module,
    spec: NetworkSpec,
    given: InputContract,
    data: CheckedData,
    read: list[Any],
    checkpoints: Path,
    guarantee: DifferentialPrivacy | None = None,
    pretrained: Sequence[PretrainedWeights] = (),
    best: Best | None = None,
) -> Card:
    """Write the trained model with its card, and from which training it comes.

    Args:
        read: MONAI transforms from a file to a raw channel-first image.
        guarantee: of a training with differential privacy.
        pretrained: what it started from.
        best: which epoch's weights the network has; None: the last's.
    """
    card = Card(
        site=site.site,
        task=task,
        label_space=[*site.classes],
        network=spec,
        head=find_head(network),
        input=given,
        training=TrainingSummary(
            images={name: coarse(n) for name, n in data.counts("training").items()},
            epochs=1 if site.head_penalty else (best.epoch if best else 0) or site.max_epochs,
            batch_size=site.batch_size,
            learning_rate=site.learning_rate,
            head_penalty=site.head_penalty,
        ),
        looks=None if guarantee else looks.measured(site, data, read, given),
        privacy=PrivacyStatement(training=guarantee),
        generated_data=data.generated,
        licence=[site.licence],
        pretrained=[*pretrained],
    )
    card = save_model(site.output_dir / "model", network, card, record=site.record)
    note_recipe(site, card, checkpoints, best.told() if best else None)
    return card


def share(
    site: Site,
    model: Model,
    items: list[dict[str, Any]],
    read: list[Any],
    device: torch.device,
    leaving: Leaving,
    audit: Audit | None = None,
    precision: Precision = "float32",
) -> Card:
    """Write the teacher package: the site's model with what its card tells others.

    The card gives recall by class in whole percents, how the training images look unless the site says no,
    the knowledge mask if the site publishes it, and the figures of an audit if one is made. With a randomised
    mask it leaves out recall, training images and looks.

    Args:
        items: ``{"image", "label"}`` of the site's test images, labels in the model's order.
        read: MONAI transforms from a file to a raw channel-first image.
        leaving: asks whoever is there.
        precision: of the weights that leave, and of all that the card says of them.

    Raises:
        InputError: the model was made of responses that keep it here; nobody agreed; the card would name a
            patient; the signing key cannot be used; a weight is too large for half precision.
    """
    require_may_travel(model.card, leaving.to)
    leaving.require_somebody()
    if model.card.site == site.site:  # else its words are another site's
        require_no_identifiers(site, task=model.card.task, label_space=model.card.label_space)
    else:
        require_no_identifiers(site)
    looks.require_told(site, model.card)
    model = in_precision(model, precision)
    if site.signing_key:
        require_private_key(site.signing_key)
    images = cached(items, read, model.card.input, "test images", once=True)
    probabilities = SINGLE_LABEL.probabilities(logits_of(model.network, images, device)).numpy()
    rows = metrics.per_class(probabilities, labels_of(images).numpy(), model.card.labels.names)
    recall = {n: round(r.recall, 2) for n, r in rows.items() if r.recall is not None}
    privacy = model.card.privacy
    if audit:
        privacy = privacy.model_copy(update={"audit": audit.run(model, read, device)})
    about: dict[str, Any] = {
        "recall": recall,
        "knowledge_mask": _published_mask(site, model, device),
        "looks": looks.told(site, model.card),
        "privacy": privacy,
        "licence": _licence(site, model.card),
    }
    if site.mask_epsilon is not None:
        about |= {"recall": {}, "training": None}  # they would tell by class what the mask half hides
    card = model.card.model_copy(update=about)
    keep: dict[str, Any] = {"signing_key": site.signing_key, "agree": leaving, "record": site.record}
    card = save_model(site.package_dir, model.network, card, **keep)
    if audit:
        drop_unfinished(audit.work)
    return card


def _licence(site: Site, card: Card) -> list[str]:
    """The site's own licence; of a model that others' are in, theirs as well."""
    if card.training is not None:  # trained here, from nothing
        return [site.licence]
    return joined([(site.site, [site.licence]), (card.site, card.licence)])


def _published_mask(site: Site, model: Model, device: torch.device) -> KnowledgeMask | None:
    """What the card tells of the noise probes; None unless the site publishes it."""
    if not site.publish_mask:
        return None
    teacher = probe(AlignedModel(model, {}), seed=site.seed, device=device)
    scores = dict(zip(model.card.labels.names, map(float, teacher.scores.numpy().round(4)), strict=True))
    earlier = site.output_dir / "mask.json"
    return published(scores, site.mask_epsilon, Ledger(site.ledger), site.site, earlier)
