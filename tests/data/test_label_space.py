import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel, LabelSpace, align, fold

names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
spaces = st.lists(names, min_size=1, max_size=8, unique_by=fold).map(LabelSpace)


def test_names_are_compared_without_case_and_spaces():
    space = LabelSpace(["Immature_Granulocyte", "platelet"])
    assert space.find("immature  granulocyte") == 0
    assert space.find("PLATELET") == 1
    assert space.find("monocyte") is None


def test_two_classes_of_the_same_name_are_refused_by_name():
    with pytest.raises(InputError, match="'Platelet' and 'platelet' are the same class"):
        LabelSpace(["Platelet", "monocyte", "platelet"])


def test_an_empty_list_is_refused():
    with pytest.raises(InputError, match="empty"):
        LabelSpace([])


def test_codes_decide_before_names():
    a = ClassLabel(name="platelet", system="sct", code="16378004")
    assert a.means(ClassLabel(name="thrombocyte", system="sct", code="16378004"))
    assert not a.means(ClassLabel(name="platelet", system="sct", code="1"))
    assert a.means(ClassLabel(name="Platelet"))


def test_a_code_needs_its_system():
    with pytest.raises(ValueError, match="system"):
        ClassLabel(name="platelet", code="16378004")


def test_alignment_leaves_out_what_has_no_partner():
    assert align(LabelSpace(["b", "x", "a"]), LabelSpace(["a", "b", "c"])) == {0: 1, 2: 0}


def test_an_ambiguous_alignment_is_refused():
    source = LabelSpace(
        [{"name": "cell", "system": "s", "code": "1"}, {"name": "cell", "system": "s", "code": "2"}]
    )
    with pytest.raises(InputError, match=r"'cell' \(s 1\) and 'cell' \(s 2\) could both be 'cell'"):
        align(source, LabelSpace(["cell"]))


@given(spaces, spaces)
def test_alignment_is_one_to_one_and_symmetric(a: LabelSpace, b: LabelSpace):
    there = align(a, b)
    assert len(set(there.values())) == len(there)
    assert {j: i for i, j in there.items()} == align(b, a)
    for i, j in there.items():
        assert a[i].means(b[j])


@given(spaces)
def test_a_space_aligns_with_itself(space: LabelSpace):
    assert align(space, space) == {i: i for i in range(len(space))}


@given(names, names)
def test_folding_is_idempotent(a: str, b: str):
    assert fold(fold(a)) == fold(a)
    assert fold(f"{a}_{b}") == fold(f"{a} {b}") == fold(f" {a}--{b} ")
