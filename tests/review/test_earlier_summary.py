"""A summary of the version before is still read: a real one, of the demo, without parts that it may lack."""

import json
from pathlib import Path

import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.review.comparison.reading import read_summary
from clinical_qkt.review.earlier_summary import VERSION_2, VERSION_3, VERSION_4, present
from tests.conftest import run
from tests.review.report.conftest import made

OLD = Path(__file__).parent / "summary_of_version_2.json"


def test_a_summary_of_version_2_is_read_with_a_note_and_means_the_same(capsys):
    summary, figures = read_summary(OLD.read_bytes(), "old.json", whole=True)
    raw = json.loads(OLD.read_bytes())
    assert "note: old.json was written by an earlier version" in capsys.readouterr().err
    assert [t.participant for t in summary.teachers] == [t["asked"] for t in raw["teachers"]]
    assert [c.bound for c in summary.criteria] == [c["asked"] for c in raw["criteria"]]
    extra = summary.method.model_extra or {}
    assert [extra[k] for k in ("participants", "soft_targets", "soft_target_noise")] == ["all", "joint", 0.0]
    assert figures["after/query_recall"] == raw["after"]["query_recall"]


def test_answers_of_version_2_are_responses():
    answer = {"site": "s", "signature": "trusted", "classes": [], "bytes": 1}
    assert present({"schema": VERSION_2, "answers": [answer], "responses": "meant nothing then"})[
        "responses"
    ] == [answer]


def test_what_versions_2_and_3_say_of_the_budget_is_kept_and_no_promise_is_made_up(capsys):
    raw = json.loads(OLD.read_bytes())
    for old in (raw, {**present(raw), "schema": VERSION_3, "method": raw["method"]}):
        summary, figures = read_summary(json.dumps(old), "old.json")
        fit, spent = summary.method.fit, raw["method"]["fit"]
        assert (fit.loss.mean, fit.loss.worst) == (spent["val_points_spent"], spent["val_points_worst"])
        assert (fit.state, fit.promise, fit.held_out, fit.bias) == ("estimated", None, None, spent["bias"])
        assert figures["held_out/mean"] == fit.loss.mean and figures["held_out/mean_bound"] is None


def test_what_a_summary_of_version_4_says_is_kept_and_looks_were_not_looked_at():
    raw = made().as_json() | {"schema": VERSION_4, "looks": "meant nothing then"}
    summary, figures = read_summary(json.dumps(raw), "old.json", whole=True)
    assert summary == made() and summary.looks is None and summary.method.fit.state == "shown"
    assert not [name for name in figures if name.startswith("looks/")]


@pytest.mark.parametrize("within", [None, 1, "yes", [True]])
def test_what_an_old_summary_says_of_the_budget_is_read_strictly(within):
    raw = json.loads(OLD.read_bytes())
    raw["method"]["fit"]["val_within_budget"] = within
    with pytest.raises(InputError, match="method.fit.state"):
        read_summary(json.dumps(raw), "old.json")


def test_what_is_wrong_in_an_old_summary_is_told_as_in_a_new_one():
    raw = json.loads(OLD.read_bytes()) | {"criteria": 1, "teachers": [None], "method": "x"}
    with pytest.raises(InputError, match="criteria: .*") as refused:
        read_summary(json.dumps(raw), "old.json")
    assert "teachers.0" in str(refused.value) and "method" in str(refused.value)


def test_an_old_summary_is_compared_and_its_report_made_again(tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_bytes(OLD.read_bytes())
    assert run("compare", str(tmp_path / "one"), str(tmp_path / "two"), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    assert run("report", str(tmp_path / "one"), "--again") == 0
    assert (tmp_path / "one" / "report.html").is_file()
