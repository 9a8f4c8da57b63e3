"""What MLflow is told of a transfer: where it starts from, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import torch
from mlflow.entities import Run

from clinical_qkt.core.files import fingerprint, sha256
from clinical_qkt.core.version import __version__
from clinical_qkt.evidence.looks import UNKNOWN, together
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.writer import CARD
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.review.summary_schema import ResponseFacts, TeacherFacts, TransferSummary
from clinical_qkt.review.tracking import notes, registry
from clinical_qkt.review.tracking.tracker import Tracker, figures
from clinical_qkt.site.config import Site

_NAMED = 3
"""Queried classes that a run's name tells."""


def decided_by(site: Site, settings: TransferSettings, own: Model) -> str:
    """A digest of all that decides a transfer's figures; another one makes another run."""
    received = [*site.teachers, *site.numbers]
    cards = [sha256(folder / CARD) for folder in received if (folder / CARD).is_file()]
    facts = settings.model_dump(), site.model_dump(mode="json"), own.card.weights_sha256
    return fingerprint(__version__, *facts, sha256(site.data), cards)


def origin(
    tracker: Tracker,
    run: Run,
    site: Site,
    settings: TransferSettings,
    own: Model,
    device: torch.device,
    config: Mapping[str, Any],
) -> None:
    """Choices, digests of the data and of the own model, software, machine, and the config.

    Args:
        config: as ``provenance.without_paths`` gives it.
    """
    digest = sha256(site.data)
    written = site.acceptance.model_dump()
    looks = {f"looks/{key}": value for key, value in written.pop("looks").items()}
    rule = {f"acceptance/{key}": value for key, value in (written | looks).items()}
    tracker.params(
        run,
        {
            **settings.model_dump(),
            "seed": site.seed,
            "forgetting_budget": site.forgetting_budget,
            **rule,
            "classes": ", ".join(site.labels.names),
            "data_sha256": digest,
            "own_weights_sha256": own.card.weights_sha256,
        },
    )
    tracker.dataset(run, site.site, digest, "transfer")
    tracker.software(run, device)
    tracker.document(run, "config.yaml", config)


def registered(tracker: Tracker, run: Run, site: Site, task: str) -> str | None:
    """Register the new model, before anything is said of it; what an earlier start did is not done twice.

    Returns:
        The version; None if the site's YAML says ``register_model: false``.
    """
    if not site.register_model:
        return None
    return registry.registered(tracker.client, run, task, site.transfer_dir / "model")


def outcome(tracker: Tracker, run: Run, site: Site, task: str, summary: TransferSummary, note: str) -> None:
    """Figures, digests of the packages, artifacts, and what was decided of the run and its model.

    Args:
        note: the report's sentence.
    """
    version = registered(tracker, run, site, task)
    tracker.log(run, figures(summary), model=registry.logged_model(tracker.client, run))
    received: list[TeacherFacts | ResponseFacts] = [*summary.teachers, *summary.responses]
    tracker.params(run, {f"package_sha256/{part.site}": part.weights_sha256 for part in received})
    tracker.tag(
        run,
        {
            "untrusted_packages": ", ".join(summary.untrusted_packages) or "none",
            registry.VERDICT: summary.verdict,
            registry.ACCEPTED: str(summary.accepted).lower(),
            "promise": summary.method.fit.state,
            "looks": together(summary.looks.sites) if summary.looks else UNKNOWN,
            notes.SENTENCE: note,
        },
    )
    notes.of_run(tracker.client, run, notes.text(run, summary.verdict, note))
    tracker.document(run, "summary.json", summary.as_json())
    tracker.artifact(run, site.transfer_dir / "report.html")
    tracker.artifact(run, site.transfer_dir / "figures", "figures")
    if version:
        registry.decide(tracker.client, task, version, run, summary.verdict, note)
    tracker.rename(run, f"{_several(site.queried.names)} at {site.site}: {summary.verdict}")


def _several(names: Sequence[str]) -> str:
    """Names in a run's name, which has room for 250 characters."""
    shown = [shorten(name, 60, placeholder="…") for name in names[:_NAMED]]
    return ", ".join(shown) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
