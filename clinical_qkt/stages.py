"""What the stages of a site's work leave behind: model, package, evaluation, predictions, transfer.

Each stage reads the files of the one before it and writes its own; a result is put in place only when whole.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset
from torch import nn

from clinical_qkt import metrics, report, tracking
from clinical_qkt.budget import retained_recall
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract, adapter
from clinical_qkt.files import sha256, write_json
from clinical_qkt.handlers import fingerprint
from clinical_qkt.packages.card import Card, KnowledgeMask
from clinical_qkt.packages.networks import NetworkSpec, find_head
from clinical_qkt.packages.store import Model, save_model
from clinical_qkt.sites import Site
from clinical_qkt.targets import aligned, answer, kept, require_finite, with_targets
from clinical_qkt.teachers import Teacher, probe, read_teachers, relevant_teachers, starting_point
from clinical_qkt.tracking import Tracker
from clinical_qkt.transfer import TransferSettings, distil, refine_head


def warn_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """Name the images that are left out on standard error: the first ten, and how many more."""
    for name, reason in skipped[:10]:
        print(f"warning: left out '{name}': {reason}", file=sys.stderr)
    if len(skipped) > 10:
        print(f"warning: left out {len(skipped) - 10} more images; summary.json counts them", file=sys.stderr)


def data_digest(site: Site) -> str:
    """The digest of the site's datalist file, which names what a result was made from."""
    return sha256(site.data)


def unfinished(site: Site, stage: str, mark: str) -> Path:
    """The folder of a stage's unfinished work, named after everything that decides its result."""
    return site.output_dir / "unfinished" / f"{stage}-{mark}"


def model_folder(site: Site) -> Path:
    """Where ``train`` leaves the site's own model."""
    return site.output_dir / "model"


def finish_training(
    site: Site, task: str, network: nn.Module, spec: NetworkSpec, given: InputContract, data: CheckedData
) -> Card:
    """Write the trained model with its card, then drop the checkpoints."""
    card = Card(
        site=site.site,
        task=task,
        label_space=site.classes,
        network=spec,
        head=find_head(network),
        input=given,
        generated_data=data.generated,
        licence=site.licence,
    )
    card = save_model(model_folder(site), network, card)
    shutil.rmtree(site.output_dir / "unfinished", ignore_errors=True)
    return card


def share(site: Site, model: Model, data: CheckedData, read: list[Any], device: torch.device) -> Card:
    """Write the teacher package: the site's model with what its card tells others.

    The card gives recall by class in whole percents, and the knowledge mask if the site publishes it.
    """
    images = cached(data.items["test"], read, model.card.input, "test images")
    probabilities = answer(model.network, images, device).softmax(1).numpy()
    rows = metrics.per_class(probabilities, labels_of(images), model.card.labels.names)
    recall = {n: round(r["recall"], 2) for n, r in rows.items() if r["recall"] is not None}
    mask = None
    if site.publish_mask:
        teacher = Teacher(model, {})
        settings = TransferSettings()
        probe(teacher, settings.mask_threshold, settings.probes, site.seed, device)
        scores = dict(zip(model.card.labels.names, map(float, teacher.scores.numpy().round(4)), strict=True))
        mask = KnowledgeMask(scores=scores, threshold=settings.mask_threshold)
    card = model.card.model_copy(update={"recall": recall, "knowledge_mask": mask, "licence": site.licence})
    return save_model(site.package_dir, model.network, card)


def cached(items: list[dict[str, Any]], read: list[Any], given: InputContract, what: str) -> CacheDataset:
    """Images read once and prepared for a network, in memory."""
    if len(items) > 500:
        print(f"reading {len(items)} {what}")
    return CacheDataset(
        items, adapter(read, given), num_workers=0, copy_cache=False, progress=len(items) > 500
    )


def labels_of(images: Sequence[Any]) -> Any:
    """``(N,)`` label positions of a dataset."""
    return np.array([int(item["label"]) for item in images], dtype=np.int64)


@dataclass
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)


def transfer(
    site: Site,
    settings: TransferSettings,
    task: str,
    own: Model,
    data: CheckedData,
    read: list[Any],
    augment: list[Any],
    device: torch.device,
) -> dict[str, Any]:
    """The whole transfer at the student site, from packages to report.

    Args:
        site: the student.
        settings: the method's choices.
        own: the site's own model, as ``train`` left it.
        data: its images; ``data.labels`` is its classes, then the queried ones.
        read, augment: MONAI transforms: file to raw channel-first image; random changes in training.

    Returns:
        The summary, also written to ``summary.json`` in the site's ``transfer_dir`` beside ``report.html``,
        ``figures/`` and ``model/``.
    """
    clock, labels = Stopwatch(), data.labels
    query = list(range(len(site.classes), len(labels)))
    tags = {"site": site.site, "query": ", ".join(site.queried.names), "method": f"qkt {settings.variant}"}
    tracker = Tracker(site.tracking_uri, task)
    with tracker.run(f"transfer to {site.site}", tags) as run:
        tracker.params(
            run, {**settings.model_dump(), "seed": site.seed, "forgetting_budget": site.forgetting_budget}
        )
        with clock.time("packages"):
            teachers = read_teachers(site.teachers, labels)
        with clock.time("masks"):
            for teacher in teachers:
                probe(teacher, settings.mask_threshold, settings.probes, site.seed, device)
            chosen = relevant_teachers(teachers, labels, query)
        mark = fingerprint(
            *(site.seed, settings.model_dump(), data_digest(site), own.card.weights_sha256),
            *(t.model.card.weights_sha256 for t in chosen),
        )
        work = unfinished(site, "transfer", mark)
        with clock.time("images"):
            training, validation, test = (
                cached(data.items[s], read, own.card.input, f"{s} images")
                for s in ("training", "validation", "test")
            )
        with clock.time("before"), tracker.run("before", tags, parent=run) as child:
            before_probabilities = widened(own.network, test, len(labels), device)
            before = evaluation(before_probabilities, labels_of(test), labels, query)
            tracker.log(child, tracking.evaluation_figures("before", before))
            held_out = answer(own.network, validation, device)
            recall_before = retained_recall(
                held_out, torch.from_numpy(labels_of(validation)), range(query[0])
            )
        with clock.time("targets"):
            targets = kept(
                work / "targets.safetensors",
                lambda: collect_targets(own, chosen, training, data, read, len(labels), device),
            )
            images = with_targets(training, targets["answers"], targets["own"])
        network, start = starting_point(own, chosen, labels, query, from_own=settings.start_from == "own")
        with clock.time("phase 1"), tracker.run("phase 1: distillation", tags, parent=run) as child:
            curves = LogEpochs(tracker, child)
            network = distil(
                network, images, augment, validation, query, settings, site.seed, device, work, [curves]
            )
        with clock.time("phase 2"), tracker.run("phase 2: head refinement", tags, parent=run) as child:
            fit = refine_head(
                network,
                images,
                validation,
                query,
                recall_before,
                site.forgetting_budget,
                settings,
                site.seed,
                device,
            )
            tracker.log(child, {"val/points_spent": fit.spent, "val/false_alarms": fit.false_alarms})
        with clock.time("after"), tracker.run("after", tags, parent=run) as child:
            after_probabilities = answer(network, test, device).softmax(1).numpy()
            after = evaluation(after_probabilities, labels_of(test), labels, query)
            tracker.log(child, tracking.evaluation_figures("after", after))
        card = start.card.model_copy(
            update={
                "site": site.site,
                "label_space": list(labels),
                "head": find_head(network),
                "recall": {},
                "knowledge_mask": None,
                "licence": site.licence,
                "generated_data": data.generated or start.card.generated_data,
            }
        )
        save_model(site.transfer_dir / "model", network, card)
        summary = summarise(
            site, settings, data, device, teachers, chosen, start.card.site, fit, before, after, clock.seconds
        )
        with clock.time("report"):
            truth = labels_of(test)
            confusions = (
                metrics.confusion(before_probabilities, truth, len(labels)),
                metrics.confusion(after_probabilities, truth, len(labels)),
            )
            report.write(site.transfer_dir, summary, confusions)
        write_json(site.transfer_dir / "summary.json", summary)
        tracker.log(run, tracking.figures(summary))
        for name in ("summary.json", "report.html"):
            tracker.artifact(run, site.transfer_dir / name)
        tracker.artifact(run, site.transfer_dir / "figures", "figures")
    shutil.rmtree(site.output_dir / "unfinished", ignore_errors=True)
    return summary


def collect_targets(
    own: Model,
    teachers: Sequence[Teacher],
    training: CacheDataset,
    data: CheckedData,
    read: list[Any],
    width: int,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """What the relevant teachers and the student's own model say of the student's training images.

    Each teacher sees the images as its own card asks for them, prepared from the raw intensities.

    Returns:
        ``answers`` ``(N, T, width)``, NaN where a teacher knows nothing; ``own`` ``(N, local)``.
    """
    answers = []
    for teacher in teachers:
        expects = teacher.model.card.input
        same = expects == own.card.input
        images = (
            training if same else cached(data.items["training"], read, expects, f"images for {teacher.site}")
        )
        logits = answer(teacher.model.network, images, device, what=f"answers of {teacher.site}")
        require_finite(logits, teacher.site)
        answers.append(aligned(logits, teacher.columns, teacher.known, width))
    return {"answers": torch.stack(answers, 1), "own": answer(own.network, training, device)}


def widened(network: nn.Module, images: Sequence[Any], width: int, device: torch.device) -> Any:
    """Probabilities ``(N, width)`` of a model that has no row for the last classes: it never names them."""
    probabilities = answer(network, images, device).softmax(1).numpy()
    return np.pad(probabilities, ((0, 0), (0, width - probabilities.shape[1])))
