"""A report that is made again with what labelled images of an archive say."""

import json

import pytest

from clinical_qkt.cli import report as command
from clinical_qkt.core.errors import InputError
from clinical_qkt.review.report import figures


def share(value, low, high):
    return {"value": value, "ci95": [low, high]}


def result(weights):
    row = {
        "called": 120, "labelled": 60, "recall": share(0.91, 0.82, 0.96),
        "false_alarms": share(0.01, 0.005, 0.02), "precision": share(0.4, 0.3, 0.5),
        "prevalence": share(0.006, 0.004, 0.009), "unusable": share(0.0, 0.0, 0.01),
    }  # fmt: skip
    return {
        "schema": "clinical-qkt/worklist-result/1", "version": "0", "created": "2026-11-26", "site": "us",
        "drawn": "2026-11-20", "images": 20_000, "labels": 400, "left_out": {}, "answers": {"dog": 60},
        "classes": {"dog": row}, "list_seal": "a" * 64, "labels_sha256": "b" * 64, "weights_sha256": weights,
    }  # fmt: skip


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "drawn", lambda summary, names=(): {})
    (tmp_path / "summary.json").write_text(json.dumps(made().as_json()))
    return tmp_path


def test_the_page_shows_the_estimates_as_what_they_are(folder, made, console):
    path = folder / "worklist-result.json"
    path.write_text(json.dumps(result(made().identity.weights_sha256)))
    command.report(folder, console, again=True, worklist=path)
    page = (folder / "report.html").read_text()
    assert "Estimated from 400 labelled of 20,000 images of the archive" in page
    assert "82 to 96" in page and "no part of the rule" in page


def test_a_list_of_another_model_or_no_list_at_all_is_refused(folder, console):
    path = folder / "worklist-result.json"
    for content, told in (
        (json.dumps(result("f" * 64)), "another model"),
        ("{}", "is no result"),
        (None, "read"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        with pytest.raises(InputError, match=told):
            command.report(folder, console, again=True, worklist=path)
    with pytest.raises(InputError, match="made again"):
        command.report(folder, console, as_pdf=True, worklist=path)
