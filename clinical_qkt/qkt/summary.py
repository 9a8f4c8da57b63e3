"""``summary.json``: a transfer's figures under stable keys, and what they are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from clinical_qkt.core.files import sha256
from clinical_qkt.core.version import __version__
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import Alignment, LabelSpace
from clinical_qkt.evidence import looks
from clinical_qkt.evidence.criteria import decision
from clinical_qkt.evidence.evaluation import Agreement
from clinical_qkt.evidence.others import heard
from clinical_qkt.evidence.parts import Gate, InUse
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.pretrained import PretrainedWeights
from clinical_qkt.packages.response import Response
from clinical_qkt.qkt.evaluation import Evidence
from clinical_qkt.qkt.forgetting_budget import MOST_IMAGES, BudgetFit, Promise
from clinical_qkt.qkt.look_facts import look_facts
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.query.aggregate import Responses, TakenIn
from clinical_qkt.review.budget_fit import Fit, HeldOutImages, HeldOutLoss, Promised
from clinical_qkt.review.rule_facts import rule_facts
from clinical_qkt.review.summary_schema import (
    SCHEMA,
    Aligned,
    Budget,
    Data,
    Identity,
    Method,
    RespondedClass,
    ResponseFacts,
    StartWeights,
    Student,
    SwitchOff,
    TeacherFacts,
    TestData,
    TransferSummary,
)
from clinical_qkt.site.config import Site
from clinical_qkt.site.ledger.judged import Judged
from clinical_qkt.statistics.class_statistics import Agreement as StatisticsAgreement


@dataclass(frozen=True)
class Made:
    """How the new model came about.

    Attributes:
        variant: of the method, as it is called.
        started_from: the site whose network it started from.
        licence: a text for each model that it was made of.
        taken_in: what came of responses with statistics; None without any.
        fit: how the forgetting budget was spent.
        pretrained: the files of weights that the models started from of which it was made.
    """

    variant: str
    started_from: str
    licence: list[str]
    taken_in: TakenIn | None
    fit: BudgetFit
    pretrained: Sequence[PretrainedWeights] = ()


def summarise(
    site: Site,
    settings: TransferSettings,
    data: CheckedData,
    given: InputContract,
    device: torch.device,
    teachers: Sequence[Teacher],
    participants: Sequence[Teacher],
    responses: Responses | None,
    made: Made,
    measured: Evidence,
    gate: Gate | None,
    in_use: InUse | None,
    agreed: Mapping[str, Agreement],
    identity: Identity,
    judged: Judged,
    seconds: dict[str, float],
) -> TransferSummary:
    """Everything that a reader of the transfer may want to know, without any path.

    Args:
        given: how images are prepared for the student's own model.
        participants: the teachers that take part.
        responses: to the site's query, with statistics.
        made: what was chosen on the way.
        measured: on test images, as are ``gate`` and ``in_use``.
        agreed: by teacher, how often it says what the new model says; see ``metrics.agreement``.
        judged: what the ledger knows of the test images and the rule.
        seconds: by stage.
    """
    received = [*(t.model for t in teachers), *(responses.parts if responses else ())]
    budget = site.forgetting_budget
    found = heard(site.acceptance.evidence, measured.after, site.queried.names, None)
    rule = site.acceptance, site.rule_written
    decided = decision(measured.after, measured.forgetting, budget, *rule, found)
    seen = look_facts(participants, responses, made.taken_in, site.acceptance.looks)
    return TransferSummary(
        schema_=SCHEMA,
        command="transfer",
        version=__version__,
        seed=site.seed,
        device=device.type,
        identity=identity,
        data=_data_facts(site, data),
        student=_student_facts(site, data),
        teachers=[
            _teacher_facts(t, data.labels, site, given, participants, agreed.get(t.site)) for t in teachers
        ],
        responses=[
            _response_facts(r, made.taken_in.agreement if made.taken_in else {})
            for r in (responses.parts if responses else ())
        ],
        method=_method_facts(settings, made, Promise.of(budget, settings)),
        before=measured.before,
        after=measured.after,
        forgetting=measured.forgetting,
        verdict=looks.decided(seen, decided.criteria, site.acceptance.evidence),
        criteria=decided.criteria,
        budget=Budget(forgetting=budget),
        rule=rule_facts(site, judged),
        switch_off=SwitchOff(**site.monitoring.model_dump()),
        abstention=measured.abstention,
        gate=gate,
        subgroups=measured.subgroups,
        net_benefit=measured.net_benefit,
        precision_recall=measured.precision_recall,
        in_use=in_use,
        looks=seen,
        untrusted_packages=untrusted(received),
        bytes_received=sum(p.bytes for p in received),
        seconds=seconds,
    )


def _data_facts(site: Site, data: CheckedData) -> Data:
    return Data(
        name=data.name,
        generated=data.generated,
        sha256=sha256(site.data),
        skipped=len(data.skipped),
        # not by file name: names can identify patients, and the summary goes to MLflow
        skipped_because=dict(Counter(reason for _, reason in data.skipped)),
        patients={section: data.patients_in(section) for section in data.items},
        test_data=TestData(**site.test_data.model_dump()),
    )


def _student_facts(site: Site, data: CheckedData) -> Student:
    return Student(
        site=site.site,
        classes=site.labels.names,
        query=site.queried.names,
        images={s: len(items) for s, items in data.items.items()},
        prevalence=site.prevalence,
    )


def untrusted(packages: Sequence[Model | Response]) -> list[str]:
    """The packages that nobody vouches for, each with the reason."""
    return [f"{p.card.site} ({p.signed.state})" for p in packages if not p.signed.vouched]


def _teacher_facts(
    teacher: Teacher,
    labels: LabelSpace,
    site: Site,
    given: InputContract,
    participants: Sequence[Teacher],
    agreed: Agreement | None,
) -> TeacherFacts:
    table = Alignment(teacher.model.card.labels, labels)
    names = table.source.names
    queried = range(len(site.classes), len(labels))
    return TeacherFacts(
        site=teacher.site,
        classes=names,
        alignment=[
            Aligned(name=name, as_=labels[row.targets[0]].name if row.aligned else None, how=row.how)
            for name, row in zip(names, table.rows, strict=True)
        ],
        adapted=teacher.model.card.input.adaptations(given),
        mask={n: round(float(s), 4) for n, s in zip(names, teacher.scores, strict=True)},
        known=[n for n, k in zip(names, teacher.known, strict=True) if k],
        recall={labels[q].name: told for q in queried if (told := teacher.told(q)) is not None},
        relevant=bool(teacher.known_columns & set(queried)),
        participant=any(t is teacher for t in participants),
        signature=teacher.model.signed.state,
        weights_sha256=teacher.model.card.weights_sha256,
        bytes=teacher.model.bytes,
        agreement=agreed,
    )


def _response_facts(
    response: Response, agreement: Mapping[str, Mapping[str, StatisticsAgreement]]
) -> ResponseFacts:
    rows = []
    for told in response.card.answers:
        row = RespondedClass(
            name=told.label.name,
            count=told.patients,
            **told.model_dump(exclude={"label", "noised_count", "count", "look"}),
        )
        if seen := agreement.get(told.label.name, {}).get(response.site):
            row.distance, row.limit = round(seen.distance, 4), round(seen.limit, 4)
            row.far_off = seen.far_off
        rows.append(row)
    return ResponseFacts(
        site=response.site,
        signature=response.signed.state,
        classes=rows,
        weights_sha256=response.card.weights_sha256,
        bytes=response.bytes,
    )


def _method_facts(settings: TransferSettings, made: Made, promise: Promise) -> Method:
    """Every setting; of a head made of statistics what was chosen, in the place of what was asked for."""
    chosen = asdict(made.taken_in.choice) if made.taken_in else {}
    facts = settings.model_dump(exclude={"variant"}) | {
        name: value for name, value in chosen.items() if value is not None
    }
    return Method(
        variant=made.variant,
        started_from=made.started_from,
        licence=made.licence,
        pretrained=[StartWeights(**one.model_dump()) for one in made.pretrained],
        fit=fit_facts(made.fit, promise),
        **facts,
    )


def fit_facts(fit: BudgetFit, promise: Promise) -> Fit:
    """What was promised, and what held-out images showed of it; points with four digits."""
    return Fit(
        bias=[round(b, 4) for b in fit.bias],
        false_alarms=round(fit.false_alarms, 4),
        state=fit.state,
        loss=HeldOutLoss(**{name: round(points, 4) for name, points in asdict(fit.loss).items()}),
        promise=Promised(**asdict(promise)),
        held_out=HeldOutImages(
            images=fit.images,
            cross_fitted=fit.cross_fitted,
            fewest=fit.fewest,
            needed=fit.needed if fit.needed < MOST_IMAGES else None,
        ),
    )
