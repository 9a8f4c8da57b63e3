"""What the stages end with on the terminal: the facts for ``report.endings``, and the next command."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from rich.console import Console
from torch import nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.rows import Rows
from clinical_qkt.core.shipped_bundles import bundle_folder
from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.packages.assessment import AssessmentCard
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.packages.response import ResponseCard
from clinical_qkt.packages.signing import read_fingerprint
from clinical_qkt.packages.writer import package_bytes
from clinical_qkt.review.report import endings as shown
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.review.tracking import viewing
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import Launch
from clinical_qkt.tasks.single_label import SINGLE_LABEL

UNSIGNED = "no: name a 'signing_key' in the site's YAML, or others refuse it"
USED = "clinical-qkt run transfer SITE.yaml, with the folder under '{}'"
JUDGED = "clinical-qkt run judge SITE.yaml, with the folder under '{}'"
MODEL = "model"


def launched(workflow: ConfigWorkflow) -> Launch:
    """A stage that the stock launcher runs, as ``clinical-qkt run`` would run it.

    The workflow does not say which files it was made of, so they are looked up among its callers.
    """
    files, frame = ["SITE.yaml"], inspect.currentframe()
    while frame is not None:
        given = frame.f_locals.get("config_file")
        files, frame = given if isinstance(given, list) else files, frame.f_back
    command, bundle = workflow.parser["command"], workflow.config_root_path.parent
    return Launch(command, Path(files[-1]), bundle, _is_named(bundle, workflow.parser.get("bundle")))


def _is_named(bundle: Path, by: str) -> bool:
    """Whether this is the bundle that a site's YAML names, and no other copy of it."""
    try:
        return bool(by) and bundle_folder(by).resolve() == bundle.resolve()
    except InputError:  # nothing that the stock launcher looks at
        return False


@torch.no_grad()
def validated(
    network: nn.Module, batches: Iterable[dict[str, Any]], device: torch.device, names: Sequence[str]
) -> dict[str, Row]:
    """``metrics.per_class`` of a network on prepared batches ``{"image", "label"}``."""
    network.eval()
    states, labels = Rows(), Rows()
    for batch in batches:
        states.add(SINGLE_LABEL.probabilities(network(batch["image"].to(device)).float()))
        labels.add(torch.as_tensor(batch["label"]).flatten())
    return metrics.per_class(states.all().numpy(), labels.all().numpy(), names)


def trained(launch: Launch, site: Site, rows: Mapping[str, Row]) -> None:
    """After ``train``."""
    places: dict[str, str | Path] = {MODEL: site.output_dir / MODEL, "test it": launch.next_line("evaluate")}
    if site.teachers or site.numbers:
        places["gain classes"] = launch.next_line("transfer")
    elif site.query:
        places["ask for classes"] = launch.next_line("query")
    else:
        places["hand it over"] = launch.next_line("share")
    shown.print_trained(Console(), site.site, rows, places)


def evaluated(launch: Launch, site: Site, model: Path, result: Path) -> None:
    """After ``evaluate``, under its table."""
    at = {} if model == site.output_dir / MODEL else {"model": model}
    again = "transfer" if site.teachers or site.numbers else "query" if site.query else "share"
    places: dict[str, str | Path] = {
        "figures": result,
        "classify": launch.next_line("inference", **at, images="FOLDER"),
    }
    if not at:
        places["next"] = launch.next_line(again)
    shown.print_places(Console(), places)


def predicted(classes: Sequence[str], path: Path, refused: Sequence[bool] | None = None) -> None:
    """After ``inference``; ``refused`` are the images that get 'none of these', None without a gate."""
    shown.print_predicted(Console(), classes, {"one line an image": path}, refused)


def shared(site: Site) -> None:
    """After ``share``."""
    folder = site.package_dir
    places = _package(folder, "a teacher package")
    places |= {"they check it": _verify(site, folder), "they use it": USED.format("teachers")}
    shown.print_places(Console(), places)


def asked(site: Site, reference: bool) -> None:
    """After ``query``."""
    what = "a reference, to be answered once for everybody" if reference else "a query for "
    places = _package(site.query_dir, what + ("" if reference else ", ".join(site.queried.names)))
    answer = f"clinical-qkt run answer SITE.yaml --request {site.query_dir.name}"
    places |= {"they check it": _verify(site, site.query_dir), "they answer": answer}
    if reference:
        places["you all"] = "keep the folder: name it as 'reference_dir', and answers to it under 'published'"
    else:
        places["you"] = (
            "keep the folder and the model: responses fit these two only; name them under 'responses'"
        )
    shown.print_places(Console(), places)


def answered(site: Site, folder: Path, card: ResponseCard, query: QueryCard) -> None:
    """After ``answer``."""
    asker, key = query.site, "responses"
    if query.reference:
        asker, key = f"all who use the reference of {asker}", "published"
    places = _package(folder, f"an answer for {asker}")
    places |= {
        "they check it": f"{_verify(site, folder)} --query QUERY",
        "they use it": USED.format(key),
        "what is spent": f"clinical-qkt ledger {site.ledger}",
    }
    shown.print_response(Console(), asker, card.answers, places)


def assessed(site: Site, folder: Path, card: AssessmentCard, asker: str) -> None:
    """After ``assess``."""
    told = [c.label.name for c in card.classes if c.recall is not None]
    about = f"of {', '.join(told)}" if told else "of false alarms alone"
    places = _package(folder, f"an assessment for {asker}, {about}")
    places |= {"they check it": _verify(site, folder), "they use it": JUDGED.format("assessments")}
    shown.print_places(Console(), places)


def transferred(launch: Launch, site: Site, summary: TransferSummary) -> None:
    """After ``transfer``."""
    folder = site.transfer_dir
    places: dict[str, str | Path] = {
        "report": folder / "report.html",
        "figures": folder / "summary.json",
        MODEL: folder / MODEL,
        **_in_mlflow(site),
        "try it": launch.next_line("inference", model=folder / MODEL, images="FOLDER"),
    }
    shown.print_transferred(Console(), summary, places)


def _in_mlflow(site: Site) -> dict[str, str | Path]:
    """The page that shows the transfers, and where it is a local one the line that serves it."""
    if site.tracking_server:
        return {"runs in MLflow": viewing.address(site.tracking_server)}
    return {"MLflow": viewing.line(site.tracking_uri), "runs in MLflow": viewing.address(site.tracking_uri)}


def _package(folder: Path, what: str) -> dict[str, str | Path]:
    """What lies ready to be sent, and by which key its receiver knows it."""
    mark = read_fingerprint(folder)
    return {
        "ready": f"{folder}: {what}, {package_bytes(folder):,} bytes; send the folder",
        "signed": f"with the key {mark}; compare it by telephone" if mark else UNSIGNED,
    }


def _verify(site: Site, folder: Path) -> str:
    """For the receiver, in whose YAML the sender's key stands."""
    key = f"under 'trusted_keys' is {site.site}'s public key"
    return f"clinical-qkt package verify {folder.name} --site SITE.yaml    # {key}"
