"""The JSON Schemas of ``summary.json`` and ``evaluation.json``; the tables of ``docs/reference/summary.md``.

``python -m clinical_qkt.documentation.reference`` writes them, with all other references. What a field means
stands at the field where it takes more than its name, else below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from clinical_qkt.core.schema import DIALECT
from clinical_qkt.documentation.packages import SCHEMAS, parts
from clinical_qkt.documentation.schema_tables import between_marks, plain, table, tidied
from clinical_qkt.review.evaluation_file import SCHEMA as EVALUATION
from clinical_qkt.review.evaluation_file import EvaluationFile
from clinical_qkt.review.summary_schema import SCHEMA, TransferSummary

BY = "clinical_qkt.documentation.summary"
PAGE = Path("docs/reference/summary.md")
FILE, EVALUATION_FILE = SCHEMAS / "transfer-summary.json", SCHEMAS / "evaluation.json"
TOP = "TransferSummary"

ANYWHERE = {
    "ci95": "95 % interval; null where there is nothing to count.",
    "images": "How many.",
    "patients": "Whose images these are, how many; null where the list names nobody.",
    "count": "How many of them.",
    "share": "The same as a share.",
    "site": "Whose it is.",
    "classes": "The classes that it names.",
    "query": "The queried class.",
    "prevalence": "Share of the images that show the class.",
    "prevalence_from": "Whose prevalence it is.",
    "points": "The curve.",
    "threshold": "The stated probability from which on.",
    "weights_sha256": "Digest of the weights.",
    "bytes": "Size of the package.",
    "signature": "``trusted``, ``unsigned``, ``unknown key``; ``made here`` for the site's own.",
    "column": "Of the labels' table.",
    "value": "What stands in the column; null where the table does not tell.",
    "recall": "Share of the images that are recognised.",
    "query_recall_ci95": "95 % interval of ``query_recall``.",
    "retained_recall_ci95": "95 % interval of ``retained_recall``.",
    "false_alarms": "Images of other classes that are called a queried one.",
}
"""By the name of the field, where it means the same in every part."""

MEANINGS = {
    f"{TOP}.schema": "This schema; its last part is the version.",
    f"{TOP}.command": "What made it.",
    f"{TOP}.version": "Of the software.",
    f"{TOP}.seed": "The same seed gives the same figures.",
    f"{TOP}.device": "On which it was computed.",
    f"{TOP}.identity": "Which report this is, of what.",
    f"{TOP}.data": "The datalist.",
    f"{TOP}.switch_off": "From when on the model is to be switched off again, as the site says.",
    f"{TOP}.student": "Who asked for what.",
    f"{TOP}.teachers": "Whose models were received.",
    f"{TOP}.responses": "Whose numbers were received.",
    f"{TOP}.method": "Every choice of the method, and what came of them; more keys than these.",
    f"{TOP}.before": "What the site's own model does on the test images.",
    f"{TOP}.after": "What the new one does on the same test images.",
    f"{TOP}.forgetting": "Recall before minus recall after, of the classes known before.",
    f"{TOP}.verdict": "By the rule: a criterion that failed refuses, and so do looks beyond their limits "
    "where test images do not speak for the model; one that is open leaves it open.",
    f"{TOP}.criteria": "The rule part by part, held against what was measured.",
    f"{TOP}.budget": "What the site is willing to lose.",
    f"{TOP}.rule": "The rule as a whole, and what else was judged on the same test images.",
    f"{TOP}.abstention": "If the model answered only where it is sure; null if not looked at.",
    f"{TOP}.gate": "When the model says 'none of these'; null if it never does.",
    f"{TOP}.subgroups": "By the columns of the labels' table; null without such columns.",
    f"{TOP}.net_benefit": "Decision curves of the queried classes.",
    f"{TOP}.precision_recall": "Precision-recall curves of the queried classes.",
    f"{TOP}.looks": "Whether other sites' images look different; null if nobody has looked.",
    f"{TOP}.others": "What other hospitals measured of the new model; null if nobody has.",
    f"{TOP}.judged_earlier": "What was decided before the model was judged again; the first one first.",
    f"{TOP}.in_use": "Against the model that is in use now; null if there is none.",
    f"{TOP}.untrusted_packages": "Packages that nobody vouches for, each with the reason.",
    f"{TOP}.bytes_received": "From other sites.",
    f"{TOP}.seconds": "By stage.",
    "AbstentionPoint.wrong_share": "Of the answers given, the share that is wrong; null without any.",
    "Agreement.share": "How often both models say the same; null without such images.",
    "Aligned.class": "The teacher's class.",
    "Aligned.as": "The student's; null if it has none like it.",
    "Aligned.how": "``code``, ``name``, ``synonym``, ``merged``; "
    "``no such class``, ``same name, other code``.",
    "ResponseFacts.classes": "Of each queried class, what was told.",
    "RespondedClass.class": "The queried class.",
    "RespondedClass.kind": "What was told; null if nothing was.",
    "RespondedClass.declined": "Why nothing was told.",
    "RespondedClass.count": "Images, or patients of a private response, then noised.",
    "RespondedClass.epsilon": "Of a private response, the smaller the better; null of an exact one.",
    "RespondedClass.delta": "Of a private response.",
    "RespondedClass.unit": "Whom a private response protects: ``patient`` or ``image``.",
    "RespondedClass.distance": "From the other sites' answers, in spreads within a class.",
    "RespondedClass.limit": "How far it may be.",
    "RespondedClass.far_off": "Whether it is further.",
    "BaseRate.ppv": "Of the answers that name the class, the share that is right; null if none would.",
    "BaseRate.ppv_ci95": "95 % interval of ``ppv``.",
    "BaseRate.npv": "Of the other answers, the share whose image does not show it.",
    "BaseRate.npv_ci95": "95 % interval of ``npv``.",
    "BaseRate.false_alarms_per_1000": "Of 1,000 images of all kinds.",
    "BaseRate.false_alarms_per_1000_ci95": "Its 95 % interval.",
    "BaseRate.missed_per_1000": "Images of the class that are called another, of 1,000 of all kinds.",
    "BaseRate.missed_per_1000_ci95": "Its 95 % interval.",
    "Bin.low": "From this probability on.",
    "Bin.high": "Up to this one.",
    "Budget.forgetting": "Points of recall, on average over the classes known before.",
    "Calibration.bins": "Ten equal ones.",
    "Criterion.name": "What it is about.",
    "Criterion.bound": "From which side the limit holds.",
    "Criterion.outcome": "Met: even the bad end of the interval keeps the limit; failed: no end does.",
    "Criterion.written_by": "Whose limit it is; the software's is its default.",
    "Data.name": "Of the data set.",
    "Data.generated": "Whether its images are drawn and show no patients.",
    "Data.sha256": "Digest of the datalist.",
    "Data.skipped": "Images that were left out.",
    "Data.skipped_because": "How many, by reason; no file names.",
    "Data.test_data": "Where the test images come from.",
    "Evaluation.tested": "How many images and patients stand behind the figures.",
    "Evaluation.per_class": "By class, in the order of ``student.classes``, then ``student.query``.",
    "Evaluation.calibration": "Whether the stated probabilities can be believed.",
    "Evaluation.thresholds": "By queried class, if it were named from a probability on, 0.05 to 0.95.",
    "Fit.loss": "What was lost on held-out images.",
    "HeldOutImages.images": "How many, all of classes known before.",
    "Forgetting.per_class": "By class known before; below 0 it became better.",
    "Forgetting.per_class_ci95": "Their 95 % intervals.",
    "Forgetting.mean_ci95": "95 % interval of ``mean``.",
    "Forgetting.mean_loss_ci95": "95 % interval of ``mean_loss``.",
    "Forgetting.worst": "The largest loss of one class.",
    "Forgetting.worst_class": "Which one; the first of several.",
    "Forgetting.worst_ci95": "95 % interval of ``worst``.",
    "Gate.validation_images": "How many of the site's own images set the threshold.",
    "Gate.candidates": "All scores that were tried.",
    "Gate.cost": "What it costs on the test images.",
    "Gate.sources": "What it is worth.",
    "GateCost.retained": "Of the classes known before.",
    "GateCost.queried": "Of the queried classes.",
    "GateScore.score": "What is measured of an image.",
    "GateSource.name": "What these images are.",
    "GateSource.kind": "Of which kind.",
    "Groups.all": "All test images.",
    "Groups.retained": "Those of classes known before.",
    "Groups.queried": "Those of queried classes.",
    "Identity.report_id": "Stands on every page of the report.",
    "Identity.created": "When, as ISO 8601.",
    "Identity.run_id": "Of the run in MLflow.",
    "Identity.model_version": "In MLflow's registry; null if it is not registered.",
    "Identity.data_sha256": "Digest of the datalist.",
    "Identity.test_sha256": "Digest of the test images and their labels.",
    "Identity.rule_sha256": "Digest of the rule.",
    "Identity.commit": "Of the software; null if it is not known.",
    "InUse.version": "In MLflow's registry.",
    "SiteLook.gave": "What came of the site.",
    "SiteLook.outcome": "By the limits, from the figures above; ``not known`` where nothing was compared.",
    "Method.variant": "``committee``, ``distil``, ``statistics`` and others.",
    "Method.started_from": "Whose network it started from.",
    "Method.start_from": "What was asked for.",
    "Method.licence": "What may be done with the new model: a text for each that it was made of.",
    "Method.pretrained": "The files of weights that its models started from, with what each says of itself.",
    "StartWeights.sha256": "Digest of the file.",
    "StartWeights.name": "``unknown`` where the file does not say it; so are source and licence.",
    "StartWeights.source": "Where it comes from.",
    "StartWeights.licence": "What may be done with it.",
    "StartWeights.trained_layers": "What was trained after that.",
    "Method.head": "Of a transfer with statistics.",
    "Method.max_epochs": "Of phase 1.",
    "Method.refine_epochs": "Of phase 2.",
    "Method.fit": "How the forgetting budget was spent: the promise, and what held-out images showed.",
    "NetBenefitPoint.model": "If the class is called from the threshold on.",
    "NetBenefitPoint.named_ci95": "95 % interval of ``named``.",
    "NetBenefitPoint.call_all": "If every image were called so.",
    "PrecisionRecall.precision": "At each of these recalls.",
    "PrecisionRecall.average_precision": "The area below the curve.",
    "Row.recall": "Of the class's images, the share that the model calls so.",
    "Row.recall_ci95": "95 % interval of ``recall``.",
    "Row.precision": "Of the test images that are called so, the share that shows it; see ``base_rates``.",
    "Row.f1": "Harmonic mean of ``recall`` and ``precision``.",
    "Row.auroc": "Of the class against all others.",
    "Rule.sha256": "Digest of all limits.",
    "Rule.limits": "By criterion, in points or of 100 images.",
    "Student.classes": "The classes known before.",
    "Student.query": "The queried classes.",
    "Student.images": "How many, by section.",
    "SubgroupColumn.values": "A row for each value.",
    "Subgroups.unit": "What is counted for the minimum.",
    "Subgroups.columns": "Of the labels' table.",
    "Subgroups.smallest_query_recall": "Among all that may be shown; null if nothing may.",
    "Subgroups.smallest_retained_recall": "The same of the classes known before.",
    "TeacherFacts.alignment": "What each of its classes is here.",
    "TeacherFacts.adapted": "How the student's images were prepared in another way for it.",
    "TeacherFacts.mask": "By class, its score on noise probes.",
    "TeacherFacts.known": "The classes that it is taken to know.",
    "TeacherFacts.recall": "Of queried classes, what its card says of its own test images.",
    "TeacherFacts.relevant": "Whether it knows a queried class.",
    "TeacherFacts.participant": "Whether it took part.",
    "TeacherFacts.agreement": "With the new model; null if 20 test images or more show each queried class.",
    "TestData.origin": "Where they come from, and how they were chosen.",
    "TestData.labelled_by": "Who labelled them, as a role.",
    "TestData.reference": "Against what.",
    "TestData.dates": "When they were taken.",
    "TestData.device": "With which scanner, microscope, stain.",
    "TestData.exclusions": "What was left out, and why.",
    "ToldBySite.site": "Its pseudonym.",
    "PooledClass.sites": "How many tell their recall.",
    "PooledClass.patients": "At least; null unless all of these hospitals name theirs.",
    "PooledAlarms.sites": "How many tell false alarms of every queried class.",
    "PooledAlarms.patients": "At least; null unless all of these hospitals name theirs.",
    "PooledAlarms.lowest": "The hospital with the fewest.",
    "PooledAlarms.highest": "The hospital with the most.",
    "MeasuredByOthers.sites": "Each hospital's own figures.",
    "MeasuredByOthers.false_alarms": "Over all of them.",
    "Judgement.created": "When it was decided.",
    "Judgement.report_id": "Of the report that said so.",
    "Judgement.rule_sha256": "Digest of the rule.",
    "Judgement.evidence": "Whose test images counted.",
    "Judgement.verdict": "What was decided.",
    "Judgement.criteria": "The rule part by part.",
    "Threshold.recognised": "Of the class's images, the share that reaches it; null without any.",
    "Threshold.false_alarms": "Of the other images, the share that reaches it; null without any.",
    "Threshold.images": "Of the class.",
    "Threshold.others": "Images of other classes.",
}


def schema() -> dict[str, Any]:
    """The summary's JSON Schema; keys may be added within a version."""
    return published(TransferSummary, SCHEMA)


def published(model: type[BaseModel], title: str) -> dict[str, Any]:
    """The JSON Schema of a file that is written, each field with its meaning.

    Args:
        title: its ``schema`` key, which ends in the version.
    """
    made = tidied(model.model_json_schema(by_alias=True, mode="serialization"))
    for part, held in {model.__name__: made, **made["$defs"]}.items():
        for name, field in held["properties"].items():
            if told := field.get("description") or MEANINGS.get(f"{part}.{name}") or ANYWHERE.get(name):
                field["description"] = told
    kind, _, number = title.rpartition("/")
    head = {
        "$schema": DIALECT,
        "$id": f"urn:{kind.replace('/', ':')}:{number}",
        "title": title,
        "x-version": int(number),
    }
    return head | {k: v for k, v in made.items() if k != "title"}


def files(root: Path) -> dict[Path, str]:
    """The schema and the page, with their text; of the page only what stands between marks is replaced."""
    made = schema()
    blocks = {"summary": table(made)}
    blocks["parts"] = "\n\n".join(
        f"### `{name}`\n\n{plain(part['description'])}\n\n{table(part)}"
        for name, part in parts({TOP: made}).items()
    )
    page = (root / PAGE).read_text(encoding="utf-8")
    for name, block in blocks.items():
        page = between_marks(page, BY, name, block)
    evaluation = published(EvaluationFile, EVALUATION)
    schemas = {FILE: made, EVALUATION_FILE: evaluation}
    written = {root / file: json.dumps(s, indent=2, ensure_ascii=False) + "\n" for file, s in schemas.items()}
    return {**written, root / PAGE: page}
