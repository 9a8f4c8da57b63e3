import re

from clinical_qkt.identity import identity


def made(**changes):
    facts = {"weights": "w", "data": "d", "test": "t", "rule": "r", "run_id": "0f", "model_version": "3"}
    return identity(**{**facts, **changes})


def test_a_report_has_an_id_that_people_can_read_out():
    assert re.fullmatch(r"[0-9A-F]{4}(-[0-9A-F]{4}){2}", made()["report_id"])


def test_the_id_is_that_of_model_test_images_and_rule_and_of_nothing_else():
    one = made()["report_id"]
    assert made(run_id="ff", model_version=None, data="e")["report_id"] == one
    assert len({made(**{key: "x"})["report_id"] for key in ("weights", "test", "rule")} | {one}) == 4
