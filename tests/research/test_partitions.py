import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.research.partitions import choose_query, pathological


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
