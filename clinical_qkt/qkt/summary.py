"""``summary.json``: a transfer's figures under stable keys, and what they are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clinical_qkt.core.files import sha256
from clinical_qkt.core.version import __version__
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import Alignment, LabelSpace
from clinical_qkt.evidence import base_rates, metrics
from clinical_qkt.evidence.criteria import decision
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.response import Response
from clinical_qkt.qkt.forgetting_budget import BudgetFit
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.query.aggregate import Responses
from clinical_qkt.review.summary_schema import SCHEMA, TransferSummary
from clinical_qkt.site.config import Site
from clinical_qkt.statistics.class_statistics import Agreement

Array = NDArray[Any]


def summarise(
    site: Site,
    settings: TransferSettings,
    data: CheckedData,
    given: InputContract,
    device: torch.device,
    teachers: Sequence[Teacher],
    participants: Sequence[Teacher],
    responses: Responses | None,
    how: dict[str, Any],
    fit: BudgetFit,
    measured: Mapping[str, Any],
    agreed: dict[str, dict[str, Any]],
    identity: Mapping[str, Any],
    judged: Mapping[str, Any],
    seconds: dict[str, float],
) -> TransferSummary:
    """Everything that a reader of the transfer may want to know, without any path.

    Args:
        given: how images are prepared for the student's own model.
        participants: the teachers that take part.
        responses: to the site's query, with statistics.
        measured: ``before``, ``after``, ``forgetting`` and further evidence, see ``test_set``.
        agreed: by teacher, how often it says what the new model says; see ``metrics.agreement``.
        identity: see ``identity``.
        judged: what the ledger knows of the test images and the rule, see ``Ledger.judged``.
        how: what was chosen on the way, and with ``agreement`` how far the responses agree.
    """
    agreement = how.pop("agreement", {})
    received = [*(t.model for t in teachers), *(responses.parts if responses else ())]
    budget, rule = site.forgetting_budget, site.acceptance
    content = {
        "schema": SCHEMA,
        "command": "transfer",
        "version": __version__,
        "seed": site.seed,
        "device": device.type,
        "identity": identity,
        "data": _data_facts(site, data),
        "student": {
            "site": site.site,
            "classes": site.labels.names,
            "query": site.queried.names,
            "images": {s: len(items) for s, items in data.items.items()},
            "prevalence": site.prevalence,
        },
        "teachers": [
            {**_teacher_facts(t, data.labels, site, given, participants), "agreement": agreed.get(t.site)}
            for t in teachers
        ],
        "responses": [_response_facts(a, agreement) for a in responses.parts] if responses else [],
        "method": {**settings.model_dump(), **how, "fit": _fit_facts(fit)},
        **measured,
        **decision(measured["after"], measured["forgetting"], budget, rule, site.rule_written),
        "budget": {"forgetting": budget},
        "rule": {
            "date": rule.date.isoformat() if rule.date else None,
            "sha256": rule.digest(budget),
            "limits": rule.limits(budget),
            **judged,
        },
        "switch_off": site.monitoring.model_dump(),
        "untrusted_packages": untrusted(received),
        "bytes_received": sum(p.bytes for p in received),
        "seconds": seconds,
    }
    return TransferSummary.model_validate(content)


def _data_facts(site: Site, data: CheckedData) -> dict[str, Any]:
    return {
        "name": data.name,
        "generated": data.generated,
        "sha256": sha256(site.data),
        "skipped": len(data.skipped),
        # not by file name: names can identify patients, and the summary goes to MLflow
        "skipped_because": dict(Counter(reason for _, reason in data.skipped)),
        "patients": {section: data.patients_in(section) for section in data.items},
        "test_data": site.test_data.model_dump(),
    }


def untrusted(packages: Sequence[Model | Response]) -> list[str]:
    """The packages that nobody vouches for, each with the reason."""
    return [f"{p.card.site} ({p.signed.state})" for p in packages if not p.signed.vouched]


def evaluation(
    probabilities: Array,
    truth: Array,
    labels: LabelSpace,
    query: Sequence[int],
    patients: Array | None = None,
    prevalence: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Any]:
    """The part ``before`` or ``after`` of the summary.

    Args:
        probabilities: ``(N, C)`` on the test images, columns in the order of ``labels``.
        truth: ``(N,)``.
        query: the columns of the queried classes.
        patients: ``(N,)`` whose image it is; None if the list names nobody.
        prevalence: by queried class, in percent.
    """
    rows = metrics.per_class(probabilities, truth, labels.names, patients)
    queried = [labels[q].name for q in query]
    retained = [n for n in labels.names if n not in queried]
    called = probabilities.argmax(1)
    shows_queried = np.isin(truth, query)
    return {
        "tested": {
            name: {"images": int(part.sum()), "patients": _people(patients, part)}
            for name, part in (
                ("all", shows_queried | True),
                ("retained", ~shows_queried),
                ("queried", shows_queried),
            )
        },
        "per_class": rows,
        "query_recall": metrics.macro_recall(rows, queried),
        "query_recall_ci95": metrics.macro_interval(rows, queried),
        "false_alarms": metrics.false_alarms(probabilities, truth, labels.names, query, patients),
        "retained_recall": metrics.macro_recall(rows, retained),
        "retained_recall_ci95": metrics.macro_interval(rows, retained),
        "calibration": metrics.calibration(probabilities, truth, patients),
        "confusion": metrics.confusion(probabilities, truth, len(labels)).tolist(),
        "thresholds": {labels[q].name: metrics.thresholds(probabilities, truth, q) for q in query},
        "base_rates": {
            labels[q].name: base_rates.ladder(
                called[truth == q] == q,
                called[truth != q] == q,
                prevalence.get(labels[q].name),
                None if patients is None else (patients[truth == q], patients[truth != q]),
            )
            for q in query
        },
    }


def _people(patients: Array | None, chosen: Array) -> int | None:
    return None if patients is None else len(np.unique(patients[chosen]))


def _teacher_facts(
    teacher: Teacher, labels: LabelSpace, site: Site, given: InputContract, participants: Sequence[Teacher]
) -> dict[str, Any]:
    table = Alignment(teacher.model.card.labels, labels)
    names = table.source.names
    queried = range(len(site.classes), len(labels))
    return {
        "site": teacher.site,
        "classes": names,
        "alignment": [
            {"class": name, "as": labels[row.targets[0]].name if row.aligned else None, "how": row.how}
            for name, row in zip(names, table.rows, strict=True)
        ],
        "adapted": teacher.model.card.input.adaptations(given),
        "mask": {n: round(float(s), 4) for n, s in zip(names, teacher.scores, strict=True)},
        "known": [n for n, k in zip(names, teacher.known, strict=True) if k],
        "recall": {labels[q].name: told for q in queried if (told := teacher.told(q)) is not None},
        "relevant": bool(teacher.known_columns & set(queried)),
        "participant": any(t is teacher for t in participants),
        "signature": teacher.model.signed.state,
        "weights_sha256": teacher.model.card.weights_sha256,
        "bytes": teacher.model.bytes,
    }


def _response_facts(response: Response, agreement: dict[str, dict[str, Agreement]]) -> dict[str, Any]:
    rows = []
    for told in response.card.answers:
        seen = agreement.get(told.label.name, {}).get(response.site)
        row = {"class": told.label.name, **told.model_dump(exclude={"label", "noised_count"})}
        row["count"] = told.patients
        if seen:
            row |= {
                "distance": round(seen.distance, 4),
                "limit": round(seen.limit, 4),
                "far_off": seen.far_off,
            }
        rows.append(row)
    return {
        "site": response.site,
        "signature": response.signed.state,
        "classes": rows,
        "weights_sha256": response.card.weights_sha256,
        "bytes": response.bytes,
    }


def _fit_facts(fit: BudgetFit) -> dict[str, Any]:
    return {
        "bias": [round(b, 4) for b in fit.bias],
        "val_false_alarms": round(fit.false_alarms, 4),
        "val_points_spent": round(fit.spent, 3),
        "val_points_worst": round(fit.worst, 3),
        "val_within_budget": fit.kept,
    }
