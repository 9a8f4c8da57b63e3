import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from clinical_qkt.errors import InputError, QueryError
from clinical_qkt.sites import check_site, choose_query, pathological, write_site

GOOD = {
    "site": "hospital_a", "data": "d.json", "classes": ["a", "b"],
    "output_dir": "o", "package_dir": "p", "query_dir": "q", "transfer_dir": "t", "ledger": "l.db",
}  # fmt: skip


def test_a_good_site_is_read():
    site = check_site({**GOOD, "query": ["c"], "teachers": ["p/x"]}, "x.yaml")
    assert site.labels.names == ["a", "b"] and site.queried.names == ["c"]
    assert site.tracking_uri.startswith("sqlite:///") and site.tracking_uri.endswith("t/mlflow.db")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clases": ["a"]}, "unknown key 'clases'"),
        ({"site": None}, "site: is missing"),
        ({"site": "ward 3/x"}, "site: String should match"),
        ({"classes": ["a", "A"]}, "'a' and 'A' are the same class"),
        ({"query": ["B"]}, "the site knows 'B' already"),
        ({"query": ["c", "C"]}, "same class"),
        ({"forgetting_budget": -1}, "forgetting_budget: Input should be greater"),
        ({"forgetting_budget": "two"}, "forgetting_budget: Input should be a valid number"),
        ({"architecture": "resnet_smal"}, "did you mean 'resnet_small'"),
        ({"spatial_size": [28]}, "spatial_size"),
        ({"policy": {"epsilonn": 3}}, "policy.epsilonn"),
        ({"policy": {"epsilon": 0}}, "policy.epsilon: Input should be greater"),
        ({"policy": {"kinds": ["images"]}}, "policy.kinds.0"),
    ],
)
def test_a_wrong_site_is_refused_by_key(changes, message):
    with pytest.raises(InputError, match=r"x\.yaml") as e:
        check_site({**GOOD, **changes}, "x.yaml")
    assert message in str(e.value) and e.value.fix


def test_all_problems_are_told_at_once():
    with pytest.raises(InputError) as e:
        check_site({**GOOD, "site": None, "seed": -1, "batch_size": 0}, "x.yaml")
    assert all(key in e.value.problem for key in ("site", "seed", "batch_size"))


def test_a_written_site_is_what_monai_reads(tmp_path):
    write_site(tmp_path / "s.yaml", GOOD)
    assert ConfigParser.load_config_file(tmp_path / "s.yaml") == GOOD


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 10), st.integers(2, 12), st.data(), st.integers(0, 999))
def test_each_site_has_its_number_of_classes_and_each_class_a_site(classes, sites, data, seed):
    per_site = data.draw(st.integers(2, classes - 1))
    if sites * per_site < classes:
        with pytest.raises(InputError, match="cannot hold"):
            pathological(classes, sites, per_site, seed)
        return
    dealt = pathological(classes, sites, per_site, seed)
    assert [len(set(mine)) for mine in dealt] == [per_site] * sites
    assert {c for mine in dealt for c in mine} == set(range(classes))
    assert dealt == pathological(classes, sites, per_site, seed)


def test_two_classes_are_too_few():
    with pytest.raises(InputError, match="at least three"):
        pathological(2, 4, 2, 0)


@pytest.mark.parametrize("per_site", [1, 3, 9])
def test_impossible_numbers_of_classes_are_refused(per_site):
    with pytest.raises(InputError, match="--classes-per-site"):
        pathological(3, 4, per_site, 0)


def test_the_query_is_the_one_that_most_sites_can_teach():
    dealt = [[0, 1], [1, 2], [0, 2, 3], [2, 3]]
    ask = choose_query(dealt)
    assert (ask.student, ask.classes) == (0, (2,))
    assert choose_query(dealt, student=3).classes == (0,)
    assert choose_query(dealt, wanted=[0, 3]).student == 1
    with pytest.raises(QueryError, match="knows a queried class already"):
        choose_query(dealt, student=2, wanted=[2])
    with pytest.raises(QueryError, match="no site lacks"):
        choose_query([[0, 1], [0, 1]])
