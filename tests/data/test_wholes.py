"""Classes of other sites of which several of a site's own are the parts."""

import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel, LabelSpace, SiteClass, align
from clinical_qkt.data.wholes import SiteList
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.site.policy import Declined, Policy

NEUTROPHIL = {"name": "neutrophil", "synonyms": ["PMN"], "merges": ["band", "segmented"]}
LISTED = ["band", {"name": "segmented", "system": "s", "code": "7"}, "platelet", "eosinophil"]


def listed(*wholes, classes=tuple(LISTED)):
    return SiteList(classes, [SiteClass.model_validate(w) for w in wholes])


OURS = listed(NEUTROPHIL)


@pytest.mark.parametrize(
    ("name", "places"),
    [("Neutrophil", (0, 1)), ("pmn", (0, 1)), ("band", (0,)), ("platelet", (2,)), ("basophil", ())],
)
def test_a_whole_is_found_as_all_its_parts_and_all_else_as_itself(name, places):
    assert OURS.places(ClassLabel(name=name)) == places


def test_without_declaring_it_a_site_that_lists_parts_has_no_such_class():
    assert LabelSpace(LISTED).places(ClassLabel(name="neutrophil")) == ()
    assert listed().places(ClassLabel(name="neutrophil")) == ()


def test_the_parts_of_a_whole_have_codes_that_decide():
    label = {"name": "segmented", "system": "s", "code": "7"}
    whole = {**NEUTROPHIL, "merges": ["band", label]}
    assert listed(whole).places(ClassLabel(name="neutrophil")) == (0, 1)
    with pytest.raises(InputError, match=r"'segmented' \(s 8\), a part of 'neutrophil', is not listed"):
        listed({**NEUTROPHIL, "merges": ["band", {**label, "code": "8"}]})


def test_models_and_images_do_not_know_of_wholes():
    assert align(LabelSpace(["neutrophil", "platelet"]), OURS) == {1: 2}
    assert OURS.find("neutrophil") is None and LabelSpace(LISTED) == OURS
    assert [c.name for c in OURS.plain] == ["band", "segmented", "platelet", "eosinophil"]


@pytest.mark.parametrize(
    ("wholes", "says"),
    [
        ([{"name": "n", "merges": ["band", "toxic"]}], "'toxic', a part of 'n', is not listed"),
        ([{"name": "n", "merges": ["band"]}], "'n' has no two different parts"),
        ([{"name": "n"}], "'n' has no two different parts"),
        ([{"name": "Platelet", "merges": ["band", "segmented"]}], "is a class of the list"),
        (
            [{"name": "n", "synonyms": ["band"], "merges": ["platelet", "segmented"]}],
            "is a class of the list",
        ),
        ([NEUTROPHIL, {"name": "g", "merges": ["eosinophil", "band"]}], "overlap: both mean 'band'"),
        ([NEUTROPHIL, {**NEUTROPHIL, "merges": ["platelet", "eosinophil"]}], "are the same class"),
    ],
)
def test_a_whole_that_makes_no_sense_is_refused(wholes, says):
    with pytest.raises(InputError, match=says):
        listed(*wholes)


def test_two_names_of_one_class_are_no_two_parts():
    one = SiteClass(name="band", synonyms=("stab",))
    with pytest.raises(InputError, match="no two different parts"):
        listed({"name": "n", "merges": ["band", "stab"]}, classes=(one, "segmented"))


def test_what_could_be_a_class_and_a_whole_is_neither():
    classes = [{"name": "cell", "system": "s", "code": "1"}, "band", "segmented"]
    ours = SiteList(classes, [SiteClass(name="PMN", merges=("band", "segmented"), system="t", code="2")])
    with pytest.raises(InputError, match=r"could be 'cell' \(s 1\), or all of band, segmented"):
        ours.places(ClassLabel(name="cell", system="t", code="2"))


def test_a_whole_is_answered_for_unless_a_part_of_it_is_asked_for_too():
    def decided(*asked):
        labels = [ClassLabel(name=name) for name in asked]
        query = QueryCard.model_construct(site="asker", query=labels, welcome=["private_mean"])
        return [Policy().decide(query, label, OURS) for label in labels]

    assert decided("PMN", "platelet", "eosinophil") == ["private_mean"] * 3
    both = Declined("another class that is asked for is the same one at this site, or a part of it")
    assert decided("neutrophil", "band", "platelet") == [both, both, "private_mean"]
