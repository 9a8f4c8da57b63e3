import doctest

import pytest

from clinical_qkt import report
from clinical_qkt.report import words


def test_the_answer_says_what_was_gained_lost_on_how_many_images_and_how_sure(made):
    summary = made()
    answer = report.answer_sentence(summary)
    assert "recognises dog in 90 of 100 cases (before: 0), measured on 30 test images" in answer
    low, high = summary["after"]["query_recall_ci95"]
    assert f"probably lies between {100 * low:.0f} and {100 * high:.0f} of 100" in answer
    assert "7.5 fewer are recognised on average (5 were allowed), measured on 120 test images" in answer
    assert answer.endswith("ape lost most: 7.5 of 100.")


def test_nothing_lost_is_told_and_a_class_that_lost_is_named_all_the_same(made):
    summary = made(wrong=0)
    assert report.answer_sentence(summary).endswith("lost nothing on average, measured on 120 test images.")
    summary["forgetting"] = {"per_class": {"ape": 0.1, "bee": -0.2, "cat": 0.0}, "mean": -0.03, "worst": 0.1}
    answer = report.answer_sentence(summary)
    assert "lost nothing on average" in answer and "ape lost most: 10.0 of 100" in answer


def test_the_unknown_is_called_unknown(made):
    answer = report.answer_sentence(made(queried_images=0))
    assert "is unknown: there are no test images of it" in answer
    answer += report.answer_sentence(made(images=0))
    assert "What it forgot is unknown" in answer and "None" not in answer and "nan" not in answer


def test_of_two_queried_classes_each_is_told(made):
    answer = report.answer_sentence(made(query=("dog", "eel")))
    assert "recognises dog and eel in 90 of 100 cases on average (before: 0), measured on 60" in answer
    assert "By class: dog in 90 of 100 cases" in answer and "; eel in 90 of 100 cases" in answer


def test_of_two_queried_classes_one_may_be_unknown(made):
    summary = made(query=("dog", "eel"))
    summary["after"]["query_recall"] = summary["after"]["query_recall_ci95"] = None
    summary["after"]["per_class"]["eel"] |= {"support": 0, "recall": None, "recall_ci95": None}
    answer = report.answer_sentence(summary)
    assert (
        "taught dog and eel. How well it recognises eel is unknown: there are no test images of it" in answer
    )
    assert "By class: dog in 90 of 100 cases (before: 0), 30 test images" in answer and "eel in" not in answer


def test_a_handful_of_images_is_told(made):
    told = words.few_sentences(made(queried_images=6, wrong=1))
    assert len(told) == 1 and "Only 6 images of dog" in told[0] and "36 of 100" in told[0]
    assert not any(words.few_sentences(made(queried_images=n)) for n in (0, 20))


def test_nearly_all_is_not_told_as_all(made):
    summary = made()
    summary["after"]["query_recall"] = 0.9986
    assert "in more than 99 of 100 cases" in report.answer_sentence(summary)


@pytest.mark.parametrize(
    ("right", "said"),
    [(0.5, "surer than it should be, by 45.0"), (1.0, "right more often than it says, by 5.0")],
)
def test_the_model_is_called_too_sure_or_too_modest(made, right, said):
    summary = made()
    one = {"low": 0.9, "high": 1.0, "images": 10, "stated": 0.95, "right": right}
    summary["after"]["calibration"] = {"error": abs(0.95 - right), "images": 10, "bins": [one]}
    told = " ".join(words.calibration_sentences(summary))
    assert said in told and "90 % sure or more, it says 95 % on average" in told and "less sure" not in told


def test_without_images_nothing_is_said_of_probabilities(made):
    summary = made()
    summary["after"]["calibration"] = {"error": None, "images": 0, "bins": []}
    told = words.calibration_sentences(summary)
    assert len(told) == 1 and "nothing is known" in told[0]


def test_thresholds_are_told_with_what_is_known(made):
    told = " ".join([words.default_sentence(made(), "dog"), *words.threshold_sentences(made(), "dog")])
    assert "27 of 30" in told and "3 of 120" in told and "from 10 % on" in told and "would be found" in told
    lacking = made(queried_images=0)
    told = " ".join([words.default_sentence(lacking, "dog"), *words.threshold_sentences(lacking, "dog")])
    assert "is unknown" in told and "would be found" not in told and "None" not in told


def test_points_and_percents():
    assert (report.percent(0.125), report.percent(None), report.points(-0.0781), report.points(None)) == (
        "12", "–", "-7.8", "–",
    )  # fmt: skip


def test_the_examples_in_the_words_are_right():
    assert doctest.testmod(words).failed == 0 and doctest.testmod(words).attempted > 5
