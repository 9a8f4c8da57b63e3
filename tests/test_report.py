import copy
import json

import pytest
from rich.console import Console

from clinical_qkt import report


@pytest.fixture
def summary(demo):
    return json.loads((demo / "summary.json").read_text())


def test_the_answer_says_what_was_gained_lost_and_on_how_many_images(summary):
    summary["before"]["query_recall"], summary["after"]["query_recall"] = 0.0, 0.914
    summary["forgetting"]["mean"] = 0.013
    answer = report.answer_sentence(summary)
    assert "in 91 of 100 cases (before: 0), measured on 12 test images" in answer
    assert "lost 1.3 points of recall on average (2 were allowed)" in answer
    summary["forgetting"]["mean"] = -0.01
    assert "lost nothing" in report.answer_sentence(summary)


def test_the_unknown_is_called_unknown(summary):
    summary["after"]["query_recall"] = summary["forgetting"]["mean"] = None
    answer = report.answer_sentence(summary)
    assert "is unknown" in answer and "What it forgot is unknown" in answer and "None" not in answer


def test_a_budget_that_could_not_be_kept_is_told(summary, tmp_path):
    for kept in (True, False):
        summary["method"]["fit"]["val_within_budget"] = kept
        report.write(tmp_path, summary)
        assert ("cost more than the budget" in (tmp_path / "report.html").read_text()) is not kept


def test_names_cannot_smuggle_markup_into_the_report(summary, tmp_path):
    hostile = copy.deepcopy(summary)
    hostile["teachers"][0]["site"] = "<script>alert(1)</script>"
    report.write(tmp_path, hostile)
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page


def test_the_table_marks_the_queried_class_and_what_speaks_against(summary):
    console = Console(record=True, width=110)
    summary |= {"accepted": False, "against": ["3.0 points of recall were lost on average, 2 were allowed"]}
    report.print_transfer(console, summary)
    text = console.export_text()
    assert f"{summary['student']['query'][0]} (queried)" in text and "Not accepted: 3.0 points" in text


def test_points_and_percents():
    assert (report.percent(0.125), report.percent(None), report.points(-0.0781), report.points(None)) == (
        "12", "–", "-7.8", "–",
    )  # fmt: skip


def test_the_report_tells_of_whom_the_new_model_consists(summary, tmp_path):
    report.write(tmp_path / "c", summary)
    asked = [t["site"] for t in summary["teachers"] if t["asked"]]
    page = " ".join((tmp_path / "c" / "report.html").read_text().split())
    assert f"own model and those of {', '.join(asked)}, which answer together" in page
    assert "nothing was trained" in page
    summary["method"] |= {"start_from": "teacher", "max_epochs": 4, "started_from": "hospital_9"}
    report.write(tmp_path / "d", summary)
    page = " ".join((tmp_path / "d" / "report.html").read_text().split())
    assert "which started as that of hospital_9; trained on" in page and "nothing was" not in page
