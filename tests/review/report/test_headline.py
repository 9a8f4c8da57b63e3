import pytest

from clinical_qkt.review import report
from clinical_qkt.review.report import headline


def test_the_answer_says_what_was_gained_called_falsely_and_lost_and_how_sure_that_is(made):
    answer = report.verdict_sentence(made())
    assert answer == (
        "The model now recognises dog in 90 of 100 cases (27 of 30 images; before: 0), probably between 73 "
        "and 98 of 100. Of 100 images of other classes, 2.5 are called dog (3 of 120 images), it may be as "
        "many as 7.1. Of 100 images of the classes that it knew before, 7.5 fewer are recognised on average, "
        "gains not counted (120 images), it may be as many as 14; ape, bee and cat lost most: 7.5 each."
    )


def test_patients_stand_beside_images_where_they_are_named(made):
    answer = report.verdict_sentence(made(patients=12))
    assert "27 of 30 images of 12 patients; before" in answer
    assert "3 of 120 images of 12 patients), it may" in answer and "(120 images of 12 patients)" in answer


def test_one_class_that_lost_most_is_named_alone(made):
    summary = made()
    summary.forgetting.per_class |= {"ape": -0.1, "bee": 0.016, "cat": 0.002}
    summary.forgetting.worst = 0.016
    assert headline.lost_sentence(summary).endswith("; bee lost most: 1.6.")


def test_nothing_lost_is_told_with_what_it_may_be(made):
    told = headline.lost_sentence(made(wrong=0))
    assert told == (
        "Of the classes that it knew before none lost anything on 120 images; it may be as many as 3.1 of "
        "100 on average."
    )


def test_the_unknown_is_called_unknown(made):
    answer = report.verdict_sentence(made(queried_images=0))
    assert "How well it recognises dog is unknown: there are no test images of it" in answer
    answer = report.verdict_sentence(made(images=0))
    assert "How many images of other classes it calls dog is unknown" in answer
    assert "What it forgot is unknown" in answer and "None" not in answer and "nan" not in answer


def test_of_two_queried_classes_each_is_told(made):
    answer = report.verdict_sentence(made(query=("dog", "eel")))
    assert "recognises dog and eel in 90 of 100 cases on average (before: 0), probably between" in answer
    assert "By class: dog in 90 of 100 cases (27 of 30 images" in answer and "; eel in 90 of 100" in answer
    assert "2.5 are called dog or eel" in answer


def test_of_two_queried_classes_one_may_be_unknown(made):
    summary = made(query=("dog", "eel"))
    row = summary.after.per_class["eel"]
    row.support, row.recall, row.recall_ci95 = 0, None, None
    summary.after.query_recall = summary.after.query_recall_ci95 = None
    answer = report.verdict_sentence(summary)
    assert (
        "taught dog and eel. How well it recognises eel is unknown: there are no test images of it" in answer
    )
    assert "By class: dog in 90 of 100 cases" in answer and "eel in" not in answer


def test_a_handful_of_images_is_told(made):
    told = headline.few_sentences(made(queried_images=6, wrong=1))
    assert told == [
        "Only 6 images of dog could be tested, so the interval is wide: 36 to 100 of 100.",
    ]
    assert not any(headline.few_sentences(made(queried_images=n)) for n in (0, 20))


def test_nearly_all_is_not_told_as_all(made):
    summary = made()
    summary.after.per_class["dog"].recall = 0.9986
    assert "in more than 99 of 100 cases" in report.verdict_sentence(summary)


@pytest.mark.parametrize(
    ("given", "said", "mark"),
    [
        ({}, "Accepted", "yes"),
        ({"wrong": 20}, "Not accepted", "no"),
        ({"queried_images": 0}, "Cannot be decided", "open"),
    ],
)
def test_a_verdict_is_one_of_three(made, given, said, mark):
    summary = made(**given)
    assert (headline.verdict(summary), headline.KINDS[summary.verdict]) == (said, mark)


def test_the_question_names_what_is_asked_for(made):
    assert headline.question(made(query=("dog", "eel"))) == "May the model with dog and eel be used?"
