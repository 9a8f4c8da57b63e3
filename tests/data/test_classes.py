"""Classes, synonyms, parts and codes: aligned where sure, else refused."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import (
    Alignment,
    ClassLabel,
    DistinctClasses,
    LabelSpace,
    SiteClass,
    align,
    fold,
)
from clinical_qkt.networks.joint_opinion import merged
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.qkt.targets import aligned
from clinical_qkt.site.policy import Declined, Policy
from tests.conftest import ROOT

GRANULOCYTE = SiteClass.model_validate({"name": "granulocyte", "merges": ["neutrophil", "eosinophil"]})
MONOCYTE = SiteClass.model_validate({"name": "monocyte", "synonyms": ["mono", "monocytes"]})
PLATELET = SiteClass.model_validate({"name": "platelet", "synonyms": ["thrombocyte"]})
OURS = LabelSpace([GRANULOCYTE, MONOCYTE, PLATELET])


def coded(name: str, code: str) -> ClassLabel:
    return ClassLabel(name=name, system="s", code=code)


def hows(source: LabelSpace, target: LabelSpace) -> list[tuple[str, list[str], str]]:
    return [
        (source[row.source].name, [target[j].name for j in row.targets], row.how)
        for row in Alignment(source, target).rows
    ]


def test_the_table_tells_of_every_class_what_became_of_it_and_why():
    theirs = LabelSpace(["Eosinophil", "smudge cell", "MONO", "neutrophil", "granulocytes"])
    assert hows(theirs, OURS) == [
        ("Eosinophil", ["granulocyte"], "merged"),
        ("smudge cell", [], "no such class"),
        ("MONO", ["monocyte"], "synonym"),
        ("neutrophil", ["granulocyte"], "merged"),
        ("granulocytes", [], "no such class"),
    ]
    table = Alignment(theirs, OURS)
    assert table.columns == align(theirs, OURS) == {0: 0, 2: 1, 3: 0}
    assert [OURS[j].name for j in table.missing] == ["platelet"]


def test_codes_decide_before_names_synonyms_and_parts():
    part = {"name": "neutrophil", "system": "s", "code": "1"}
    ours = LabelSpace(
        [
            SiteClass.model_validate({"name": "granulocyte", "system": "s", "code": "9", "merges": [part]}),
            SiteClass.model_validate({"name": "platelet", "system": "s", "code": "2", "synonyms": ["disc"]}),
        ]
    )
    theirs = LabelSpace(
        [coded("disc", "3"), coded("segmented", "1"), coded("other", "2"), coded("neutrophil", "4")]
    )
    assert hows(theirs, ours) == [
        ("disc", ["platelet"], "same name, other code"),
        ("segmented", ["granulocyte"], "merged"),
        ("other", ["platelet"], "code"),
        ("neutrophil", ["granulocyte"], "same name, other code"),
    ]
    assert align(theirs, ours) == {1: 0, 2: 1}
    assert Alignment(LabelSpace([coded("disc", "3")]), ours).missing == [0, 1]


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (["granulocyte", "neutrophil"], "'granulocyte' and 'neutrophil' could both be 'granulocyte'"),
        (["mono", "monocytes"], "'mono' and 'monocytes' could both be 'monocyte'"),
        (
            [coded("neutrophil", "1"), coded("neutrophil", "2")],
            r"'neutrophil' \(s 1\) and 'neutrophil' \(s 2\) could both be 'granulocyte'",
        ),
    ],
)
def test_what_could_be_aligned_in_two_ways_is_refused_by_name(theirs, says):
    with pytest.raises(InputError, match=rf"package of b: {says}"):
        align(LabelSpace(theirs), OURS, where="package of b")
    table = Alignment(LabelSpace(theirs), OURS)
    assert [row.how for row in table.rows] == ["ambiguous"] * 2 and table.columns == {}


def test_a_class_that_could_be_two_of_ours_is_refused_by_name():
    ours = LabelSpace([coded("cell", "1"), coded("cell", "2")])
    with pytest.raises(InputError, match=r"'cell' could be 'cell' \(s 1\) or 'cell' \(s 2\)"):
        align(LabelSpace(["cell"]), ours)
    with pytest.raises(InputError, match=r"'cell' could be 'cell' \(s 1\) or 'cell' \(s 2\)"):
        ours.find("cell")


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ([GRANULOCYTE, "Neutrophil"], "'granulocyte' and 'Neutrophil' overlap: both mean 'neutrophil'"),
        ([MONOCYTE, "mono"], "'monocyte' and 'mono' overlap: both mean 'mono'"),
        (["a", SiteClass(name="b", synonyms=("A",))], "'a' and 'b' overlap: both mean 'a'"),
        (
            [GRANULOCYTE, SiteClass(name="cell", merges=(ClassLabel(name="eosinophil"),))],
            "'granulocyte' and 'cell' overlap: both mean 'eosinophil'",
        ),
    ],
)
def test_a_list_whose_classes_overlap_is_refused_with_both_names(classes, says):
    with pytest.raises(InputError, match=says):
        LabelSpace(classes)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"synonyms": ["Platelet"]}, "'platelet' stands for 'platelet' in two ways"),
        ({"synonyms": ["disc"], "merges": ["disc"]}, "'platelet' stands for 'disc' in two ways"),
        (
            {"system": "s", "code": "1", "merges": [{"name": "x", "system": "s", "code": "1"}]},
            "'x' in two ways",
        ),
        ({"synonyms": "disc"}, r"has to be a list, e.g. \[disc\]"),
        ({"merges": [{"name": "x", "synonyms": ["y"]}]}, "Extra inputs"),
        ({"name": "plate\x1b[2Jlet"}, "control characters"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(declared, says):
    with pytest.raises(ValidationError, match=says):
        SiteClass.model_validate({"name": "platelet", **declared})


def test_declarations_get_onto_no_card_and_others_have_no_effect():
    class Paper(BaseModel):
        classes: DistinctClasses

    card = Paper(classes=list(OURS))
    assert [type(c) for c in card.classes] == [ClassLabel] * 3 and 'mono"' not in card.model_dump_json()
    with pytest.raises(ValidationError, match="Extra inputs"):
        Paper.model_validate({"classes": [{"name": "platelet", "synonyms": ["monocyte"]}]})
    # even in memory only our own declarations count
    assert align(LabelSpace([SiteClass(name="x", synonyms=("a",))]), LabelSpace(["a"])) == {}


def test_a_part_is_found_for_a_label_and_not_for_an_answer():
    assert OURS.find("Neutrophil") == 0 and OURS.find("Neutrophil", parts=False) is None
    assert OURS.find("thrombocyte", parts=False) == 2
    query = QueryCard.model_construct(site="asker", query=[], welcome=["private_mean"])
    decide = [Policy().decide(query, ClassLabel(name=n), OURS) for n in ("neutrophil", "thrombocyte")]
    assert decide == [Declined("this site has no such class"), "private_mean"]
    twice = LabelSpace([coded("cell", "1"), coded("cell", "2")])
    assert "more than one" in Policy().decide(query, ClassLabel(name="cell"), twice).reason


SIGNED = ["HER2", "HER2-", "HER2+", "HER2--", "HER2+/-", "CD34-/CD38+", "CD34/CD38", "- HER2", "grade -1"]


def test_names_that_differ_in_a_sign_are_never_one_class():
    assert len(LabelSpace(SIGNED)) == len(SIGNED)
    assert all(align(LabelSpace([a]), LabelSpace([b])) == {} for a in SIGNED for b in SIGNED if a != b)
    assert align(LabelSpace([n.replace("-", "\u2212") for n in SIGNED]), LabelSpace(SIGNED)) == dict(
        enumerate(range(len(SIGNED)))
    )


def test_what_is_said_to_be_spelling_is_and_what_is_said_to_be_meaning_is():
    text = (ROOT / "docs/how-to/match-label-lists.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| (the same|two classes) \|", text, re.MULTILINE)
    assert len(rows) > 15 and {said for *_, said in rows} == {"the same", "two classes"}
    for one, other, said in rows:
        assert (align(LabelSpace([one]), LabelSpace([other])) == {0: 0}) == (said == "the same"), (one, other)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("-", "'-' is no class name: one needs at least one letter or digit"),
        ("+ ?", ".* is no class name"),
        ("", "the name of a class is empty"),
        (" \t", "the name of a class is empty"),
        ("a" * 101, "'a{39}…' has 101 characters; a class name has 100 at most"),
        ("a\tb", r"'a\\tb' has control characters"),
        ("a\u202eb", r"'a\\u202eb' has control characters"),
        ("caf\udce9", r"'caf\\xe9' is not UTF-8"),
        (5, "5 is no text"),
        (True, "True is no text, as .* put it into quotes"),
        (None, "None is no text"),
        ({"nam": "a"}, "a class lacks its 'name'; a class has no key 'nam'"),
        ({"name": "a", "system": 5, "code": "1"}, "the 'system' of a class is no text"),
        ({"name": "a", "code": "1"}, "a code needs its system"),
    ],
)
def test_what_cannot_be_a_class_is_refused_in_a_sentence_of_our_own(name, says):
    with pytest.raises(InputError, match=f"^--labels: {says}") as e:
        LabelSpace(["b", name], where="--labels")
    assert "\n" not in e.value.problem and "pydantic" not in str(e.value) and e.value.fix
    str(e.value).encode("utf-8")


@given(st.text(max_size=20))
def test_any_text_is_a_class_or_is_refused_and_never_anything_else(name):
    try:
        assert LabelSpace([name], where="x").names == [name]
    except InputError as e:
        assert e.where == "x"
        str(e).encode("utf-8")


@given(st.text("ab 1-+_\u2212/é\u0301", max_size=12))
def test_folding_a_folded_name_changes_nothing(name):
    assert fold(fold(name)) == fold(name)


def test_names_written_with_composed_and_decomposed_letters_are_the_same():
    assert fold("caf\u00e9") == fold("CAFE\u0301")


plain_names = st.text("abcxyz 1", min_size=1, max_size=6).map(str.strip).filter(bool)
name_lists = st.lists(plain_names, min_size=1, max_size=7, unique_by=fold)
codes = st.one_of(st.none(), st.integers(0, 3))


@st.composite
def lists_with_codes(draw) -> LabelSpace:
    """Few names and codes, so that they often meet."""
    classes = draw(st.lists(st.tuples(st.sampled_from("abc"), codes), min_size=1, max_size=5))
    try:
        return LabelSpace([ClassLabel(name=n) if c is None else coded(n, str(c)) for n, c in classes])
    except InputError:
        assume(False)
        raise


@given(name_lists, st.randoms(use_true_random=False))
def test_a_shuffled_copy_in_other_case_is_aligned_one_to_one(names, random):
    order = random.sample(range(len(names)), len(names))
    change = random.choice([str.upper, str.title, lambda n: f" {n}", lambda n: n.replace(" ", "_")])
    assert align(LabelSpace([change(names[i]) for i in order]), LabelSpace(names)) == dict(enumerate(order))


@given(lists_with_codes(), lists_with_codes(), st.randoms(use_true_random=False))
def test_order_never_matters(theirs, ours, random):
    a, b = (random.sample(list(s), len(s)) for s in (theirs, ours))
    shuffled = Alignment(LabelSpace(a), LabelSpace(b))
    table = Alignment(theirs, ours)
    told, again = (
        {t.source[r.source]: (r.how, {t.target[j] for j in r.targets}) for r in t.rows}
        for t in (table, shuffled)
    )
    assert told == again and len(table.ambiguities) == len(shuffled.ambiguities)


@given(lists_with_codes(), lists_with_codes())
def test_codes_win_and_ambiguity_is_refused_and_never_guessed(theirs, ours):
    meant = {(i, j) for i, a in enumerate(theirs) for j, b in enumerate(ours) if b.means(a)}
    for i, j in meant:
        if theirs[i].code and ours[j].code:
            assert theirs[i].code == ours[j].code
    doubled = any(len([p for p in meant if p[side] == k]) > 1 for side in (0, 1) for k in range(5))
    if doubled:
        with pytest.raises(InputError, match="could"):
            align(theirs, ours)
    else:
        assert align(theirs, ours) == dict(sorted(meant))
    taken = Alignment(theirs, ours).columns
    assert len(set(taken.values())) == len(taken) and set(taken.items()) <= meant


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 10_000))
def test_merged_probabilities_are_the_sums_over_the_parts(columns, seed):
    logits = 5 * torch.randn(3, len(columns), generator=torch.Generator().manual_seed(seed))
    found, distinct = merged(logits, columns)
    assert distinct == list(dict.fromkeys(columns))
    expected = torch.zeros(3, 5).index_add_(1, torch.tensor(columns), logits.softmax(1))
    assert torch.allclose(found.softmax(1), expected[:, distinct], atol=1e-6)


def test_of_a_merged_class_the_parts_that_the_teacher_knows_count():
    logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    columns = {0: 1, 1: 0, 2: 1, 3: 1}
    out = aligned(logits, columns, [True, True, True, False], 3)
    assert out[0, 0] == 2 and torch.isnan(out[0, 2])
    assert torch.isclose(out[0, 1], torch.tensor([1.0, 3.0]).logsumexp(0))
    assert torch.isnan(aligned(logits, columns, [False] * 4, 3)).all()
