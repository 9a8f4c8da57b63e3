"""Keys, signatures, other sites' packages and their label lists; and the site's own model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from clinical_qkt.assessment.assessing import require_assessable
from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking.finding import Finding, problem
from clinical_qkt.core.errors import QKTError
from clinical_qkt.data.label_space import Alignment, LabelSpace
from clinical_qkt.packages.assessment import load_assessment
from clinical_qkt.packages.model import Model, load_model
from clinical_qkt.packages.query import load_query
from clinical_qkt.packages.response import Response, load_response
from clinical_qkt.packages.signing import fingerprint, require_private_key
from clinical_qkt.query.published import read_published

SIGNING = ("share", "query", "answer", "assess")
"""Commands after which something leaves."""
_SHOWN = 12
"""Digits of a fingerprint."""


def findings(stage: Stage) -> Iterator[Finding]:
    """Line by line, each package by itself."""
    looks: list[Callable[[Stage], Iterator[Finding]]] = [_own_model, _signing_key, _trusted]
    more = {"transfer": [_received], "answer": [_asked], "assess": [_assessed], "judge": [_measured]}
    looks += more.get(stage.command, [])
    for look in looks:
        yield from look(stage)


def _own_model(stage: Stage) -> Iterator[Finding]:
    if not stage.has("model"):
        return
    folder = stage.value("model")
    try:
        model = stage.model()
    except QKTError as e:
        found = problem("model", e)
        own = Path(folder) == stage.site.output_dir / "model" and not Path(folder).exists()
        yield Finding("problem", "model", found.told, "run `train` first" if own else found.fix)
        return
    if model:
        names = ", ".join(model.card.labels.names)
        yield Finding("ok", "model", f"{folder}: whole, {model.bytes:,} bytes, for {names}")


def _assessed(stage: Stage) -> Iterator[Finding]:
    """Another site's new model that is to be measured."""
    try:
        model = load_model(stage.value("request"), stage.site.trust)
        require_assessable(model, stage.value("contract"))
    except QKTError as e:
        yield problem("model to be measured", e)
        return
    told = f"of {model.card.site}, signature {model.signed.state}; gained: {', '.join(model.card.gained)}"
    yield Finding("ok", "model to be measured", told)


def _measured(stage: Stage) -> Iterator[Finding]:
    """What other sites measured of the own new model."""
    for folder in stage.site.assessments:
        try:
            one = load_assessment(folder, stage.site.trust)
        except QKTError as e:
            yield problem("assessment", e)
            continue
        told = [c.label.name for c in one.card.classes if c.recall is not None]
        said = f"signature {one.signed.state}; recall of: {', '.join(told) or 'nothing'}"
        yield Finding("ok" if told else "warning", f"assessment of {one.site}", said)


def _signing_key(stage: Stage) -> Iterator[Finding]:
    if stage.command not in SIGNING:
        return
    key = stage.site.signing_key
    if key is None:
        fix = "make one with `clinical-qkt keys new`, and name it as 'signing_key'"
        yield Finding("warning", "signing key", "none is named: others will refuse what is not signed", fix)
        return
    try:
        require_private_key(key)
    except QKTError as e:
        yield problem("signing key", e)
        return
    yield Finding("ok", "signing key", f"{key} can sign")


def _trusted(stage: Stage) -> Iterator[Finding]:
    for name, path in stage.site.trusted_keys.items():
        try:
            yield Finding("ok", f"key of {name}", f"{fingerprint(path)[:_SHOWN]}…")
        except QKTError as e:
            yield problem(f"key of {name}", e)


def _asked(stage: Stage) -> Iterator[Finding]:
    folder = stage.value("request")
    if folder is None:
        yield Finding("problem", "query", "none is named", "give the query package with --request FOLDER")
        return
    try:
        query = load_query(folder, stage.site.trust)
    except QKTError as e:
        yield problem("query", e)
        return
    if query.card.reference:
        told = f"the reference of {query.card.site}: answered for all classes of this site, for everybody"
        yield Finding("ok", "query", told)
        return
    asked = LabelSpace(query.card.query)
    known = [c.name for c in asked if stage.site.labels.places(c)]
    told = f"{query.card.site} asks for {', '.join(asked.names)}; this site has {', '.join(known) or 'none'}"
    yield Finding("ok" if known else "warning", "query", told, "" if known else "it would be declined")


def _received(stage: Stage) -> Iterator[Finding]:
    """Teachers and answers; then the classes that nobody has."""
    labels = stage.site.labels.extended(stage.site.query)
    met: set[int] = set()
    sites: dict[str, Path] = {}
    for folder in stage.site.teachers:
        try:
            model = load_model(folder, stage.site.trust)
        except QKTError as e:
            yield problem("teacher", e)
            continue
        yield from _twice(sites, model, folder)
        table = Alignment(model.card.labels, labels)
        met |= set(table.columns.values())
        yield from _aligned(model, table)
    yield from _answers(stage, met)
    yield from _published(stage, met)
    unmet = [q.name for i, q in enumerate(stage.site.query, start=len(stage.site.classes)) if i not in met]
    if unmet:
        fix = "add a package of a site that has it, or say in 'synonyms' what it is called there"
        yield Finding("problem", "queried classes", f"nobody has {', '.join(unmet)}", fix)
    else:
        yield Finding("ok", "queried classes", f"somebody has {', '.join(stage.site.queried.names)}")


def _twice(sites: dict[str, Path], found: Model | Response, folder: Path) -> Iterator[Finding]:
    site = found.card.site
    if site in sites:
        yield Finding(
            "problem", f"package of {site}", f"a second one: {folder}", "list each site's package once"
        )
    sites[site] = folder


def _aligned(model: Model, table: Alignment) -> Iterator[Finding]:
    who = f"package of {model.card.site}"
    for told in table.ambiguities:
        fix = "give the classes codes, or correct 'synonyms' and 'merges' in the site's YAML"
        yield Finding("problem", who, told, fix)
    if not model.signed.vouched:
        yield Finding("warning", who, f"{model.signed.state}: nobody vouches for it", "ask for a signed one")
    told = f"whole, signature {model.signed.state}, {len(table.columns)} of {len(table.rows)} classes aligned"
    others = [row for row in table.rows if row.how == "same name, other code"]
    if others:
        names = ", ".join(table.source[row.source].name for row in others)
        yield Finding("warning", who, f"same name, other code: {names}", "ask them what they mean by it")
    yield Finding("ok", who, told)


def _published(stage: Stage, met: set[int]) -> Iterator[Finding]:
    site, model = stage.site, stage.model()
    if site.reference_dir is None or model is None:
        return
    try:
        found = read_published(site.published, site.reference_dir, model, site.queried, site.trust)
    except QKTError as e:
        yield problem("published", e)
        return
    met |= {len(site.classes) + i for i in found.responded}
    for part in found.parts:
        given = [a.label.name for a in part.card.answers if a.kind]
        told = f"signature {part.signed.state}; published: {', '.join(given) or 'nothing that is queried'}"
        yield Finding("ok" if given else "warning", f"answer of {part.site}", told)


def _answers(stage: Stage, met: set[int]) -> Iterator[Finding]:
    if not stage.site.responses:
        return
    try:
        asked = load_query(stage.site.query_dir, stage.site.trust.own_alone)
    except QKTError as e:
        yield problem("own query", e)
        return
    model, sites = stage.model(), dict[str, Path]()
    if model and asked.card.model_sha256 != model.card.weights_sha256:
        told = "the model was trained again since the query was written, so that answers to it do not fit"
        yield Finding("problem", "own query", told, "run `query` again and ask the sites again")
    for folder in stage.site.responses:
        try:
            part = load_response(folder, asked, stage.site.trust)
        except QKTError as e:
            yield problem("answer", e)
            continue
        yield from _twice(sites, part, folder)
        given = [a.label.name for a in part.card.answers if a.kind]
        met |= {len(stage.site.classes) + i for i in part.given}
        told = f"signature {part.signed.state}; answered: {', '.join(given) or 'nothing'}"
        yield Finding("ok" if given else "warning", f"answer of {part.site}", told)
