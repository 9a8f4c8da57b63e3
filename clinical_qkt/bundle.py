"""What the bundles' configs call. Everything here is reached from YAML as ``$qkt.…`` and is thin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.metrics import EpochMetric
from torch import nn

from clinical_qkt import endings, keys, sections, stages
from clinical_qkt.audit.own import audit_of
from clinical_qkt.core import batches
from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.errors import QKTError as QKTError
from clinical_qkt.core.files import fingerprint, require_writable, sha256
from clinical_qkt.core.state_folder import ledger_of as place_of_ledger
from clinical_qkt.data.datalist import CheckedData, load_datalist
from clinical_qkt.data.formats import entries, missed, name_of
from clinical_qkt.data.images import check_images, warn_skipped
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.made_for import MadeFor, require_made_for
from clinical_qkt.data.transforms import contract_transforms
from clinical_qkt.data.transforms import reading as reading
from clinical_qkt.data.transforms import show_progress as show_progress
from clinical_qkt.data.transforms import symmetries as symmetries
from clinical_qkt.evaluation_writer import EvaluationWriter
from clinical_qkt.evidence import metrics
from clinical_qkt.networks import spec
from clinical_qkt.packages import model
from clinical_qkt.packages import query as query_package
from clinical_qkt.packages.card import Precision
from clinical_qkt.packages.query import Query
from clinical_qkt.predictions import PredictionWriter
from clinical_qkt.privacy.mechanisms.statement import DifferentialPrivacy
from clinical_qkt.qkt.gate import read_gate
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.transfer import Transfer
from clinical_qkt.query import request
from clinical_qkt.query.response import Answering
from clinical_qkt.review.tracking.handlers import TrackTraining as TrackTraining
from clinical_qkt.review.tracking.provenance import without_paths
from clinical_qkt.running import NOW, launched, plain_errors, running_workflow
from clinical_qkt.running import check as check
from clinical_qkt.running import launch as launch
from clinical_qkt.running import run as run
from clinical_qkt.site.config import Site
from clinical_qkt.site.consent import Leaving
from clinical_qkt.site.ledger import second_place
from clinical_qkt.site.ledger.beginning import require_begun
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.training.loop.handlers import FiniteLoss as FiniteLoss
from clinical_qkt.training.loop.handlers import Resume as Resume
from clinical_qkt.training.loop.handlers import SeedEachEpoch as SeedEachEpoch

if TYPE_CHECKING:
    from clinical_qkt.training.loop.dp_sgd import PrivateTraining


@plain_errors
def claim(path: str | Path, overwrite: bool) -> Path:
    """A place for results that holds none yet, or may be overwritten.

    Raises:
        OutputError: it holds an earlier run's results, or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not keys.switch("overwrite", overwrite):
        raise OutputError(
            "holds the result of an earlier run",
            where=str(path),
            fix="name another place, or give --overwrite true",
        )
    require_writable(path.parent)
    return path


@plain_errors
def ledger_of(site: str) -> str:
    """The ledger of a site whose YAML names none; see ``ledger_places``."""
    return str(place_of_ledger(site))


@plain_errors
def load_data(
    site: Site,
    *need: Any,
    contract: InputContract,
    made_for: dict[str, Any],
    queried_in: Sequence[Any] = ("test",),
) -> CheckedData:
    """The site's datalist with every image opened; what cannot be used is named on standard error.

    See ``datalist.load_datalist`` for the arguments.

    Args:
        contract: what the images are to be prepared for.
        made_for: which images the bundle takes, see ``made_for.MadeFor``.
    """
    data = load_datalist(
        site.data,
        site.labels,
        site.queried if site.query else None,
        allow_mixed_sizes=site.allow_mixed_sizes,
        need=need,
        queried_in=tuple(queried_in),
        contract=contract,
    )
    where = f"{site.data.name}: image"
    require_made_for(MadeFor.model_validate(made_for), data.facts(len(contract.spatial_size)), where)
    if data.channels != site.channels:
        raise InputError(
            f"images have {data.channels} channels, the site's model takes {site.channels}",
            where=where,
            fix=f"set 'channels: {data.channels}' in the site's YAML, or convert the images",
        )
    if data.spatial_size is not None and len(data.spatial_size) != len(site.spatial_size):
        has, takes = len(data.spatial_size), len(site.spatial_size)
        raise InputError(
            f"images have {has} dimensions, the site's model takes {takes}",
            where=where,
            fix="use a bundle for such images, see docs/how-to/prepare-your-images.md",
        )
    warn_skipped(data.skipped)
    return data


@plain_errors
def contract(values: dict[str, Any]) -> InputContract:
    """The input contract of the site's model."""
    return sections.read_contract(values)


prepare = contract_transforms


@plain_errors
def network_spec(architecture: str, given: InputContract) -> spec.NetworkSpec:
    """The network that a short name stands for, for images as the contract says."""
    return spec.preset(architecture, given.channels, given.spatial_size)


@plain_errors
def at_once(network: nn.Module, given: InputContract, device: torch.device) -> int:
    """How many images a network is given at once; see ``batches``."""
    return batches.images_at_once(network, (given.channels, *given.spatial_size), device)


@plain_errors
def trainable(batch_size: int, network: nn.Module, given: InputContract, device: torch.device) -> int:
    """The same batch size, once it is known that a training on so many images fits into memory."""
    batches.require_trainable(network, (given.channels, *given.spatial_size), batch_size, device)
    return batch_size


def kept(items: Sequence[Any], given: InputContract) -> int:
    """How many of a section's images stay in memory once they are prepared; see ``batches``."""
    return batches.kept(len(items), (given.channels, *given.spatial_size))


@plain_errors
def load_model(folder: str | Path, site: Site) -> model.Model:
    """A model folder, verified; see ``packages.store``. A site's own are those that its record holds."""
    if not Path(folder).is_dir():
        raise InputError(
            "there is no such folder",
            where=f"model: {folder}",
            fix="run `train` first, or name a model's folder with --model FOLDER",
        )
    return model.load_model(folder, site.trust)


def unfinished(site: Site, stage: str, *facts: Any) -> Path:
    """The folder where a stage keeps what it needs to go on after a crash."""
    return site.output_dir / "unfinished" / f"{stage}-{fingerprint(site.seed, sha256(site.data), *facts)}"


@plain_errors
def private_training(data: CheckedData, network: nn.Module, settings: dict[str, Any]) -> PrivateTraining:
    """The plan of a training with differential privacy; see ``private_training.of_site``."""
    from clinical_qkt.training.loop.dp_sgd import of_site  # opacus takes its time to be imported

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
    """Write the trained model with its card and drop the checkpoints."""
    stages.finish_training(site, task, network, spec, given, data, checkpoints, guarantee)
    if not NOW.embedded:
        parser = running_workflow().parser
        batches, device = (parser.get_parsed_content(k) for k in ("validate::dataloader", "device"))
        rows = endings.validated(network, batches, device, site.labels.names)
        endings.trained(launched(), site, rows)


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
) -> None:
    """Write the teacher package, once somebody agreed.

    Args:
        leaving: ``to`` and ``yes``, see ``consent.Leaving``; and ``new_ledger``.
        shadow_models: of an audit; None for no audit.
        precision: of the weights: ``float32``, or ``float16`` for half the bytes.
    """
    leaving = dict(leaving)
    new = keys.switch("new_ledger", leaving.pop("new_ledger", False))
    agree = _leaving(site, site.package_dir, **leaving)
    if new or (site.publish_mask and site.mask_epsilon is not None):
        require_begun(site, agree.ledger, new=new, yes=agree.yes)
        second_place.note(site.site, (), agree.ledger.require_newest(), agree.ledger.path)
    audit = None
    if shadow_models is not None:
        audit = audit_of(site, loaded, data, augment, shadow_models, unfinished(site, "audit"))
    items = test_items(data, loaded.card.labels)
    stages.share(site, loaded, items, read, device, agree, audit, precision)
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
    """Write the query package, once somebody agreed; see ``asking`` and ``consent.Leaving``."""
    chosen = sections.read_settings(request.QuerySettings, settings)
    agree = _leaving(site, site.query_dir, **leaving)
    request.write_query(site, chosen, loaded, data, read, device, agree)
    if not NOW.embedded:
        endings.asked(site)


@plain_errors
def load_query(folder: str | Path | None, site: Site) -> Query:
    """A query package, verified; see ``packages.query``."""
    if folder is None:
        raise InputError("is missing", where="asked", fix="give the query package with --asked FOLDER")
    return query_package.load_query(folder, site.trust)


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
) -> None:
    """Answer a query with statistics, by the site's policy; see ``answering``."""
    agreed, new = keys.switch("yes", yes), keys.switch("new_ledger", new_ledger)
    card = Answering(site, asked, data, prepared, read, device, agreed, new).run(Path(folder))
    if not NOW.embedded:
        endings.answered(site, Path(folder), card, asked.card.site)


@plain_errors
def transfer(site: Site, settings: dict[str, Any], *args: Any) -> None:
    """Gain the queried classes; see ``transfer.Transfer`` for the arguments."""
    chosen = sections.read_settings(TransferSettings, settings)
    workflow = running_workflow()
    told = without_paths(workflow.parser[""], keys.own_texts(workflow))
    summary = Transfer(site, chosen, *(*args, told)).run()
    if not NOW.embedded:
        endings.transferred(launched(), site, summary)


@plain_errors
def test_items(data: CheckedData, labels: LabelSpace) -> list[dict[str, Any]]:
    """The test images of the classes that a model has, with labels in its order.

    Raises:
        InputError: there are none.
    """
    place = {i: labels.find(c) for i, c in enumerate(data.labels)}
    items = [
        {**item, "label": place[item["label"]]}
        for item in data.items["test"]
        if place[item["label"]] is not None
    ]
    if not items:
        raise InputError(
            f"no test image shows a class that the model knows: {', '.join(labels.names)}",
            where=f"{data.name or 'the datalist'}: test",
            fix="add test images of these classes, or name another model with --model FOLDER",
        )
    return items


@plain_errors
def image_items(folder: str | Path, contract: InputContract) -> list[dict[str, Any]]:
    """The images below a folder, each opened once; what cannot be used is named and left out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("there is no such folder", where=f"images: {folder}", fix="give --images FOLDER")
    found = entries(folder)
    paths = [entry.path for entry in found if entry.kind]
    if not paths:
        raise InputError(
            "holds no images", where=str(folder), fix="give a folder of pictures, DICOM or NIfTI files"
        )
    check = check_images(paths, str(folder), allow_mixed_sizes=True, contract=contract)
    warn_skipped([*missed(found), *check.skipped])
    return [{"image": str(p)} for p, ok in zip(paths, check.readable, strict=True) if ok]


def per_class_metric(
    labels: LabelSpace, data: CheckedData | None = None, items: Sequence[dict[str, Any]] = ()
) -> EpochMetric:
    """``metrics.per_class`` as an ignite metric, for evaluators whose output has ``pred`` and ``label``.

    Args:
        data, items: the images in the order in which they are evaluated, whose patients ``data`` names.
    """
    patients = data.whose_are(items) if data else None

    def compute(logits: torch.Tensor, truth: torch.Tensor) -> Any:
        return metrics.per_class(logits.softmax(1).numpy(), truth.numpy(), labels.names, patients)

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
    agreed = keys.switch("yes", yes)
    return Leaving(folder, Ledger(site.ledger), to, agreed, shown=NOW.embedded and agreed)
