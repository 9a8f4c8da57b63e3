"""What MLflow is told when a model is judged again: the transfer's own run says what holds now.

A metric's history and the summary keep what was said before.
"""

from __future__ import annotations

import sys

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from clinical_qkt.core.terms import ACCEPTED, UNDECIDED
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.review.tracking import notes, registry, sync
from clinical_qkt.review.tracking.figure_names import others_figures
from clinical_qkt.review.tracking.tracker import Tracker
from clinical_qkt.site.config import Site


def log(site: Site, task: str, summary: TransferSummary, note: str) -> None:
    """Tell the run of a transfer, and its model's version, what others measured and what is decided now.

    Where the database does not know the run, that is said on standard error.

    Args:
        note: the report's sentence.
    """
    tracker = Tracker.of(site, task)
    run = _run(tracker.client, summary.identity.run_id)
    if run is None:
        print("warning: MLflow is not told: its database does not hold the transfer's run", file=sys.stderr)
        return
    if sync.SENT in run.data.tags:  # what it says now has not been sent
        tracker.client.delete_tag(run.info.run_id, sync.SENT)
    tracker.log(
        run, _figures(summary), len(summary.judged_earlier), registry.logged_model(tracker.client, run)
    )
    tracker.tag(
        run,
        {
            "untrusted_packages": ", ".join(summary.untrusted_packages) or "none",
            registry.VERDICT: summary.verdict,
            registry.ACCEPTED: str(summary.accepted).lower(),
            "evidence": summary.rule.evidence,
            notes.SENTENCE: note,
        },
    )
    notes.of_run(tracker.client, run, notes.text(run, summary.verdict, note))
    tracker.document(run, "summary.json", summary.as_json())
    tracker.artifact(run, site.transfer_dir / "report.html")
    tracker.artifact(run, site.transfer_dir / "figures", "figures")
    if version := summary.identity.model_version:
        registry.decide(tracker.client, task, version, run, summary.verdict, note)
    tracker.deliver()


def _figures(summary: TransferSummary) -> dict[str, float | None]:
    decided = {
        "accepted": float(summary.verdict == ACCEPTED),
        "undecided": float(summary.verdict == UNDECIDED),
    }
    return decided | others_figures(summary.others)


def _run(client: MlflowClient, run_id: str) -> Run | None:
    try:
        return client.get_run(run_id)
    except MlflowException:
        return None
