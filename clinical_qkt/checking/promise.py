"""Whether the forgetting budget's promise can be shown by the images that there are, before a transfer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from clinical_qkt.bundle.sections import read_settings
from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking.finding import Finding
from clinical_qkt.core.errors import QKTError
from clinical_qkt.data.datalist import CheckedData, Section, listed_class, parse_datalist
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence.intervals import effective_size
from clinical_qkt.packages.card import Card
from clinical_qkt.qkt import own_held_out
from clinical_qkt.qkt.forgetting_budget import MOST_IMAGES, Promise
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.site.config import Site
from clinical_qkt.training import own_folds


def findings(stage: Stage) -> Iterator[Finding]:
    """Which images are held out, and whether they are enough; for a transfer alone."""
    if stage.command != "transfer":
        return
    try:
        model, data = stage.model(), listed(stage.site)
        settings = read_settings(TransferSettings, stage.value("settings"))
    except QKTError:  # told elsewhere
        return
    if model is None:
        return
    alone, fix = _validation_alone(stage.site, model.card, data, settings)
    told = "validation images, and training images by folds"
    told = f"validation images alone: {alone}" if alone else told
    yield Finding("warning" if fix else "ok", "held-out images", told, fix)
    if images := _images(data, ["validation"] if alone else ["validation", "training"]):
        yield _enough(images, Promise.of(stage.site.forgetting_budget, settings))


def listed(site: Site) -> CheckedData:
    """Training and validation images of own classes as they are listed; none is opened."""
    listed = parse_datalist(site.data)
    own = LabelSpace(listed.classes, where=f"{site.data}: classes") if listed.classes else None
    data = CheckedData(listed.name, listed.generated, site.labels, {"training": [], "validation": []})
    for section, items in data.items.items():
        for entry in getattr(listed, section):
            at = site.labels.find(listed_class(entry.label, own, f"{site.data}: {section}"))
            if at is not None:
                file = str(site.data.parent / entry.image)
                items.append({"image": file, "label": at})
                data.patients |= {file: entry.patient} if entry.patient else {}
    return data


def _validation_alone(
    site: Site, card: Card, data: CheckedData, settings: TransferSettings
) -> tuple[str, str]:
    """Why no training image is held out, and what can be done about it; nothing if they are."""
    if settings.trains or settings.begins_with == "teacher":
        return f"'{settings.variant}' is fitted to all training images", ""
    if card.privacy.training is not None:
        return "the model was trained with differential privacy", ""
    if not own_held_out.wanted(site, card):
        return f"'held_out_folds' is {site.held_out_folds}", ""
    if own_folds.read(site.output_dir / own_folds.FILE, own_held_out.made_of(site, card, data)) is not None:
        return "", ""
    if against := own_held_out.folds(site, data)[1]:
        return against, ""
    fix = "`train` again makes what is missing, and leaves a model of the same training as it is"
    return "what networks by folds say of the training images is missing, or belongs to other images", fix


def _images(data: CheckedData, sections: list[Section]) -> dict[str, float]:
    """By class how many independent images are held out: those of one patient count about once."""
    items = [item for section in sections for item in data.items[section]]
    found = {}
    for at, name in enumerate(data.labels.names):
        mine = [item for item in items if item["label"] == at]
        found[name] = effective_size(np.zeros(len(mine)), data.whose_are(mine))
    return {name: size for name, size in found.items() if size}


def _enough(images: Mapping[str, float], promise: Promise) -> Finding:
    """Whether the promise could be shown, were no image lost; else which class has too few."""
    name = min(images, key=lambda n: images[n])
    limits = f"at most {promise.mean:g} points lost on average and {promise.worst:g} by a class"
    sure = f"at a confidence of {100 * promise.confidence:.3g} of 100"
    few = (
        f"'{name}' has fewest held-out images, {int(images[name]):,} (those of one patient count about once)"
    )
    needed = promise.images_needed(len(images))
    if needed >= MOST_IMAGES:
        return Finding("warning", "promise", f"{limits}: no number of images can show that")
    if promise.can_be_shown(list(images.values())):
        return Finding("ok", "promise", f"can be shown: {limits}, {sure}; {few}")
    fix = f"{needed:,} of each class would do, if none of them were lost; with fewer it is estimated alone"
    return Finding("warning", "promise", f"cannot be shown: {limits}, {sure}; {few}", fix)
