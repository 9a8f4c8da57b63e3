import re
from types import SimpleNamespace

import pytest

from clinical_qkt.qkt.identity import identity, judged


@pytest.fixture
def site(tmp_path):
    (tmp_path / "data.json").write_text("{}")
    return SimpleNamespace(rule_sha256="r", data=tmp_path / "data.json", ledger=tmp_path / "ledger.db")


def test_a_report_has_an_id_that_people_can_read_out(site):
    found = identity(site, "t", "w", "0f", "3")
    assert re.fullmatch(r"[0-9A-F]{4}(-[0-9A-F]{4}){2}", found.report_id)
    assert found.model_version == "3" and len(found.data_sha256) == 64


def test_the_id_is_that_of_model_test_images_and_rule_and_of_nothing_else(site):
    one = identity(site, "t", "w", "0f", "3").report_id
    assert identity(site, "t", "w", "ff", None).report_id == one
    others = {identity(site, *facts, "0f", "3").report_id for facts in (("x", "w"), ("t", "x"))}
    site.rule_sha256 = "another"
    assert len({one, *others, identity(site, "t", "w", "0f", "3").report_id}) == 4


def test_the_ledger_knows_a_second_model_on_the_same_test_images(site):
    assert judged(site, "t", "w").judged_before == 0
    assert judged(site, "t", "v").judged_before == 1
    assert judged(site, "t", "w").judged_before == 0
