"""What a stage ends with on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.packages.response import ClassResponse
from clinical_qkt.review.report import endings


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=80)


def test_a_transfer_ends_with_its_verdict_whatever_it_is(made, console):
    endings.print_transferred(console, made(wrong=0), {"report": Path("t/report.html")})
    *_, report, last = console.export_text().splitlines()
    assert report == "report: t/report.html" and last == "Accepted."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"wrong": 20},
            "Not accepted: 3 of the rule's 5 lines are not met and 2 are undecided, see above.",
        ),
        ({"queried_images": 0}, "Cannot be decided: 1 of the rule's 5 lines is undecided, see above."),
    ],
)
def test_a_model_that_is_not_accepted_is_said_to_be_in_the_last_line(made, console, given, said):
    endings.print_transferred(console, made(**given), {})
    last = console.export_text().splitlines()[-1]
    assert last.startswith(said) and "the decision is yours" in last


def test_a_training_ends_with_recall_and_images_of_each_class(console):
    unknown = Row(recall=None, recall_ci95=None, precision=None, f1=None, auroc=None, support=0)
    row = unknown.model_copy(update={"recall": 0.5, "support": 8, "recall_ci95": [0.2, 0.8]})
    rows = {"[red]a[/red]": row, "b": unknown}
    places = {"model": Path("out/model"), "next": "clinical-qkt run evaluate s.yaml " + "--long x " * 20}
    endings.print_trained(console, "us", rows, places)
    text = console.export_text()
    assert "[red]a[/red]" in text and "20 to 80" in text and "8" in text
    assert places["next"].rstrip() in text  # a command stays in one line, to be copied


def test_predictions_are_counted_by_class(console):
    endings.print_predicted(console, ["b", "a", "b"], {"one line an image": Path("p.csv")})
    lines = console.export_text().splitlines()
    assert "3 images" in lines[0] and [x.split()[1] for x in lines if "│" in x] == ["b", "a"]


def test_an_answer_tells_what_was_given_and_why_not(console):
    private = {"noised_count": 7700, "epsilon": 1.0, "delta": 1e-5, "unit": "patient"}
    given = ClassResponse(label={"name": "a"}, kind="private_mean", **private)
    declined = ClassResponse(label={"name": "b"}, declined="too few patients")
    endings.print_response(console, "them", [given, declined], {})
    text = console.export_text()
    assert (
        "private mean" in text
        and "(1, 1e-05)-private for one patient" in " ".join(text.replace("│", " ").split())
        and "declined: too few patients" in text
    )
