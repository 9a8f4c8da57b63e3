"""Names that look like another."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.packages.trust import Trust, skeleton

NAMES = st.from_regex(PSEUDONYM, fullmatch=True).map(str.strip).filter(lambda n: re.fullmatch(PSEUDONYM, n))


@given(NAMES)
def test_case_and_what_stands_between_words_do_not_make_another_name(name):
    for other in (name.upper(), name.lower(), name.replace("_", "-"), re.sub(r"[_.\-]", "", name)):
        assert skeleton(other) == skeleton(name)


@given(NAMES, st.integers(0, 9), st.integers(0, 9))
def test_another_number_makes_another_name(name, one, other):
    same = {one, other} in ({0}, {1}) or one == other
    assert (skeleton(f"{name}x{one}") == skeleton(f"{name}x{other}")) == same


def test_only_a_name_that_is_not_known_looks_like_one():
    trust = Trust({"a_1": "a.pub", "a_l": "b.pub"}, site="us")
    assert trust.looks_like("a_1") is None and trust.looks_like("a_l") is None
    assert trust.looks_like("A.I") == "a_1" and trust.looks_like("U-S") == "us"
    assert Trust().looks_like("anybody") is None
