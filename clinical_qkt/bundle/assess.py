"""What the configs of ``assess`` and ``judge`` call: new models, measured on test images of several sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import EpochMetric

from clinical_qkt.assessment import judging
from clinical_qkt.assessment.assessing import Assessing, require_assessable
from clinical_qkt.bundle import config_keys, endings
from clinical_qkt.bundle.running import NOW, launched, plain_errors
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.packages.model import Model, load_model
from clinical_qkt.site.config import Site
from clinical_qkt.tasks.single_label import SINGLE_LABEL


@plain_errors
def load_assessed(folder: str | Path | None, site: Site, own: InputContract) -> Model:
    """Another site's new model, verified, and one that can be measured here."""
    if folder is None:
        raise InputError("is missing", where="request", fix="give the model package with --request FOLDER")
    model = load_model(folder, site.trust)
    require_assessable(model, own)
    return model


@plain_errors
def assessing(
    site: Site,
    loaded: Model,
    data: CheckedData,
    yes: bool,
    new_ledger: bool = False,
    decision: str | Path | None = None,
) -> Assessing:
    """The assessment, still to be made; see ``assessment.assessing``."""
    agreed, new = config_keys.switch("yes", yes), config_keys.switch("new_ledger", new_ledger)
    made = Assessing(
        site, loaded, data, yes=agreed, new_ledger=new, decision=Path(decision) if decision else None
    )
    _ = made.items  # whether there are any is told before the network is built
    return made


@plain_errors
def admitted(made: Assessing) -> None:
    """Stop before any work is done if nothing could be told."""
    made.require_admitted()


@plain_errors
def assess(site: Site, made: Assessing, evaluator: Engine, folder: str | Path) -> None:
    """Run the evaluator, and tell what it finds once somebody agreed."""
    evaluator.run()
    card = made.tell(evaluator.state.metrics["named"], Path(folder))
    if not NOW.embedded:
        endings.assessed(site, Path(folder), card, made.card.site)


@plain_errors
def judge(site: Site, task: str) -> None:
    """Judge the new model again, by what other hospitals measured; see ``assessment.judging``."""
    summary = judging.judge(site, task)
    if not NOW.embedded:
        endings.transferred(launched(), site, summary)


def named_metric() -> EpochMetric:
    """The row of the class that a model names for each image, in their order, as an ignite metric."""

    def compute(logits: torch.Tensor, _: torch.Tensor) -> Any:
        return [int(row) for row in SINGLE_LABEL.decide(logits.numpy())]

    def output(found: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return found["pred"].float(), found["label"].long().flatten()

    return EpochMetric(compute, output, check_compute_fn=False, device="cpu")
