"""What the bundles' configs call. Everything here is reached from YAML as ``$qkt.…`` and is thin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.metrics import EpochMetric
from torch import nn

from clinical_qkt.audit.own import audit_of
from clinical_qkt.bundle import by_folds, config_keys, endings, packaging, sections
from clinical_qkt.bundle.earlier_copies import WEIGHTS
from clinical_qkt.bundle.evaluation_writer import EvaluationWriter
from clinical_qkt.bundle.loading import test_items, unfinished
from clinical_qkt.bundle.predictions import PredictionWriter
from clinical_qkt.bundle.running import NOW, launched, plain_errors, running_workflow
from clinical_qkt.bundle.running import check as check
from clinical_qkt.bundle.running import launch as launch
from clinical_qkt.bundle.running import run as run
from clinical_qkt.bundle.start import learner, note_start, read_pretrained
from clinical_qkt.bundle.training_options import tell_other_shadows
from clinical_qkt.core.errors import QKTError as QKTError
from clinical_qkt.core.files import drop_unfinished
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.formats import name_of
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.transforms import reading as reading
from clinical_qkt.data.transforms import show_progress as show_progress
from clinical_qkt.data.transforms import symmetries as symmetries
from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.gate_file import read_gate
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.packages import model
from clinical_qkt.packages.card import Precision
from clinical_qkt.packages.query import Query
from clinical_qkt.privacy.statement import DifferentialPrivacy
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.transfer import Transfer
from clinical_qkt.query import request
from clinical_qkt.query.response import Responding
from clinical_qkt.review.tracking.handlers import TrackTraining as TrackTraining
from clinical_qkt.review.tracking.provenance import without_paths
from clinical_qkt.site.config import Site
from clinical_qkt.site.consent import Leaving
from clinical_qkt.site.ledger import second_place
from clinical_qkt.site.ledger.beginning import require_begun
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.handlers import FiniteLoss as FiniteLoss
from clinical_qkt.training.handlers import Resume as Resume
from clinical_qkt.training.handlers import SeedEachEpoch as SeedEachEpoch

if TYPE_CHECKING:
    from clinical_qkt.training.dp_sgd import PrivateTraining


@plain_errors
def private_training(data: CheckedData, network: nn.Module, settings: dict[str, Any]) -> PrivateTraining:
    """The plan of a training with differential privacy; see ``dp_training.of_site``."""
    from clinical_qkt.training.dp_training import of_site  # opacus takes its time to be imported

    return of_site(data, network, settings)


@plain_errors
def finish_training(
    site: Site,
    task: str,
    network: nn.Module,
    spec: Any,
    given: Any,
    data: CheckedData,
    checkpoints: Path,
    guarantee: DifferentialPrivacy | None = None,
) -> None:
    """Write the trained model with its card, unless it is there, and what networks by folds say."""
    parser = running_workflow().parser
    if "folds_alone" in parser and parser.get_parsed_content("folds_alone"):
        there = model.load_model(site.output_dir / "model", site.trust)
        network, card = there.network.to(parser.get_parsed_content("device")), there.card
    else:
        read = parser.get_parsed_content("read")
        start = note_start(site, parser.get_parsed_content(WEIGHTS) if WEIGHTS in parser else None)
        best = parser.get_parsed_content("train::best") if "train::best" in parser else None
        made = (network, spec, given, data, read, checkpoints, guarantee, start, best)
        card = packaging.finish_training(site, task, *made)
    by_folds.hold_out(site, card, data, parser)
    drop_unfinished(checkpoints)
    if not NOW.embedded:
        batches, device = (parser.get_parsed_content(k) for k in ("validate::dataloader", "device"))
        trained = learner(network, site.trained_layers)
        rows = endings.validated(trained, batches, device, site.labels.names)
        endings.trained(launched(), site, rows)


@plain_errors
def folds_alone(site: Site, checkpoints: Path, overwrite: bool) -> bool:
    """Whether ``train`` finds its model and trains networks by folds alone; see ``by_folds``."""
    return not config_keys.switch("overwrite", overwrite) and by_folds.alone(site, checkpoints)


@plain_errors
def share(
    site: Site,
    loaded: model.Model,
    data: CheckedData,
    read: list[Any],
    augment: list[Any],
    device: torch.device,
    leaving: dict[str, Any],
    shadow_models: int | None,
    precision: Precision,
    mix_style: bool = False,
) -> None:
    """Write the teacher package, once somebody agreed.

    Args:
        leaving: ``to`` and ``yes``, see ``consent.Leaving``; and ``new_ledger``.
        shadow_models: of an audit; None for no audit.
        precision: of the weights: ``float32``, or ``float16`` for half the bytes.
        mix_style: whether the model was trained so, and the audit's shadow models are, too.
    """
    leaving = dict(leaving)
    new = config_keys.switch("new_ledger", leaving.pop("new_ledger", False))
    agree = _leaving(site, site.package_dir, **leaving)
    if new or (site.publish_mask and site.mask_epsilon is not None):
        require_begun(site, agree.ledger, new=new, yes=agree.yes)
        second_place.note(site.site, (), agree.ledger.require_newest(), agree.ledger.path)
    audit = None
    if shadow_models is not None:
        tell_other_shadows(site.keep, site.class_weights)
        work, spec = unfinished(site, "audit"), loaded.card.network
        start = read_pretrained(site, spec) if isinstance(spec, NetworkSpec) else None
        audit = audit_of(loaded, data, augment, shadow_models, site.seed, work, mix_style, start)
    items = test_items(data, loaded.card.labels)
    packaging.share(site, loaded, items, read, device, agree, audit, precision)
    if not NOW.embedded:
        endings.shared(site)


@plain_errors
def query(
    site: Site,
    settings: dict[str, Any],
    loaded: model.Model,
    data: CheckedData,
    read: list[Any],
    device: torch.device,
    leaving: dict[str, Any],
) -> None:
    """Write the query package, once somebody agreed; see ``query.request`` and ``consent.Leaving``."""
    chosen = sections.read_settings(request.QuerySettings, settings)
    agree = _leaving(site, site.query_dir, **leaving)
    card = request.write_query(site, chosen, loaded, data, read, device, agree)
    if not NOW.embedded:
        endings.asked(site, card.reference)


@plain_errors
def answer(
    site: Site,
    asked: Query,
    folder: str | Path,
    data: CheckedData,
    prepared: InputContract,
    read: list[Any],
    device: torch.device,
    yes: bool,
    new_ledger: bool = False,
    decision: str | Path | None = None,
) -> None:
    """Answer a query with statistics, by the site's policy; see ``query.response``."""
    agreed, new = config_keys.switch("yes", yes), config_keys.switch("new_ledger", new_ledger)
    decided = Path(decision) if decision else None
    card = Responding(site, asked, data, prepared, read, device, agreed, new, decided).run(Path(folder))
    if not NOW.embedded:
        endings.answered(site, Path(folder), card, asked.card)


@plain_errors
def transfer(
    site: Site,
    settings: dict[str, Any],
    task: str,
    own: model.Model,
    data: CheckedData,
    read: list[Any],
    augment: list[Any],
    device: torch.device,
) -> None:
    """Gain the queried classes.

    Args:
        settings: the section of that name, still to be checked.
        task: the bundle's; names the MLflow experiment.
        own: the site's own model, as ``train`` left it.
        data: its images; ``data.labels`` is its classes, then the queried ones.
        read: MONAI transforms from a file to a raw channel-first image.
        augment: MONAI transforms that change a prepared image at random.
        device: where networks run.
    """
    chosen = sections.read_settings(TransferSettings, settings)
    workflow = running_workflow()
    told = without_paths(workflow.parser[""], config_keys.own_texts(workflow))
    summary = Transfer(site, chosen, task, own, data, read, augment, device, told).run()
    if not NOW.embedded:
        endings.transferred(launched(), site, summary)


def per_class_metric(
    labels: LabelSpace, data: CheckedData | None = None, items: Sequence[dict[str, Any]] = ()
) -> EpochMetric:
    """``metrics.per_class`` as an ignite metric, for evaluators whose output has ``pred`` and ``label``.

    Args:
        data, items: the images in the order in which they are evaluated, whose patients ``data`` names.
    """
    patients = data.whose_are(items) if data else None

    def compute(logits: torch.Tensor, truth: torch.Tensor) -> Any:
        probabilities = SINGLE_LABEL.probabilities(logits).numpy()
        return metrics.per_class(probabilities, truth.numpy(), labels.names, patients)

    return EpochMetric(compute, pred_and_label, check_compute_fn=False, device="cpu")


def pred_and_label(output: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """An engine's output as ``(logits (B, C), labels (B,))``; for ignite's metrics."""
    return output["pred"].float(), output["label"].long().flatten()


def save_evaluation(path: str | Path, site: Site, task: str, loaded: model.Model) -> EvaluationWriter:
    """A handler that writes ``evaluation.json`` and the same figures to MLflow."""
    told = partial(endings.evaluated, launched(), site, loaded.folder, Path(path))
    return EvaluationWriter(Path(path), site, task, loaded, told)


@plain_errors
def save_predictions(
    path: str | Path, items: list[dict[str, Any]], labels: LabelSpace, loaded: model.Model | None = None
) -> PredictionWriter:
    """A handler that writes one line an image: file, class, probability of each class.

    Args:
        loaded: the model; where a gate lies beside it, the file tells 'none of these' too.
    """
    door = read_gate(loaded.folder, loaded.card.weights_sha256) if loaded else None
    return PredictionWriter(Path(path), [name_of(Path(i["image"])) for i in items], labels, door)


def _leaving(site: Site, folder: Path, to: str, yes: bool) -> Leaving:
    """The question before a package leaves; whoever runs a bundle in a program has shown it there."""
    agreed = config_keys.switch("yes", yes)
    return Leaving(folder, Ledger(site.ledger), to, agreed, shown=NOW.embedded and agreed)
