import pytest
from rich.console import Console

from clinical_qkt.review import report


def shown(summary, width=200):
    console = Console(record=True, width=width)
    report.print_transfer(console, summary)
    return console.export_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"wrong": 0}, "Accepted."),
        ({"wrong": 20}, "Not accepted."),
        ({"queried_images": 0}, "Cannot be decided."),
    ],
)
def test_the_last_line_is_the_verdict_in_words_that_need_no_colour(made, given, said):
    assert shown(made(**given)).splitlines()[-1] == said


def rows(text):
    """The cells of each row of all tables."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line[:1] == "│"]


def test_false_alarms_stand_below_the_classes_with_their_interval(made):
    assert ["others, called a queried one", "120", "0", "2.5", "0.5 to 7.1", ""] in rows(shown(made()))


def test_each_line_of_the_rule_is_shown_with_its_bad_end_and_its_outcome(made):
    summary = made(wrong=20, own=("false_alarms",))
    found = rows(shown(summary, 80))
    assert ["Recognised", "33", "17", "at least 50", "undecided", "default"] in found
    assert ["False alarms", "17", "25", "at most 10", "not met", "hospital"] in found
    assert "Undecided: Recognised: with about 40 images of dog" in shown(summary)
    accepted = shown(made(wrong=0))
    assert "not met" not in accepted and "undecided" not in accepted.lower()


def test_a_loss_has_no_sign(made):
    summary = made()
    summary.forgetting.per_class |= {"ape": 0.016, "bee": -0.004, "cat": 0.0}
    found = {row[0]: row[-1] for row in rows(shown(summary)) if len(row) == 6}
    assert (found["ape"], found["bee"], found["cat"]) == ("1.6", "gained 0.4", "none lost")


def test_few_images_and_packages_without_a_voucher_are_told(made):
    summary = made(queried_images=6, wrong=0)
    assert "Only 6 images of dog" in shown(summary)
    summary.untrusted_packages = ["hospital_9 (unsigned)"]
    assert "Nobody vouches for the packages of hospital_9 (unsigned)." in shown(summary)


def test_names_are_no_markup(made):
    assert "[red]dog[/red] (queried)" in shown(made(query=("[red]dog[/red]",)))
