import pytest

from clinical_qkt.review import report
from clinical_qkt.review.report import words


@pytest.mark.parametrize(
    ("right", "said"),
    [(0.5, "surer than it should be, by 45.0"), (1.0, "right more often than it says, by 5.0")],
)
def test_the_model_is_called_too_sure_or_too_modest(made, right, said):
    summary = made()
    part = summary.after.calibration
    one = part.bins[9].model_copy(update={"images": 10, "stated": 0.95, "right": right})
    part.error, part.images, part.bins = abs(0.95 - right), 10, [one]
    told = " ".join(words.calibration_sentences(summary))
    assert said in told and "90 % sure or more, it says 95 % on average" in told and "less sure" not in told


def test_without_images_nothing_is_said_of_probabilities(made):
    summary = made()
    part = summary.after.calibration
    part.error, part.images, part.bins = None, 0, []
    told = words.calibration_sentences(summary)
    assert len(told) == 1 and "nothing is known" in told[0]


def test_thresholds_are_told_with_what_is_known(made):
    told = " ".join([words.default_sentence(made(), "dog"), *words.threshold_sentences(made(), "dog")])
    assert "27 of 30" in told and "3 of 120" in told and "from 10 % on" in told and "would be found" in told
    lacking = made(queried_images=0)
    told = " ".join([words.default_sentence(lacking, "dog"), *words.threshold_sentences(lacking, "dog")])
    assert "is unknown" in told and "would be found" not in told and "None" not in told
    assert "no images of other classes to be wrong on" in words.default_sentence(made(images=0), "dog")


@pytest.mark.parametrize(
    ("spent", "worst", "said"),
    [
        (0.4, 1.0, "0.4 points were lost on average, and the class that lost most lost 1.0."),
        (0.0, 2.5, "nothing was lost on average, and the class that lost most lost 2.5."),
        (-0.3, 0.0, "0.3 points were gained on average, and no class lost anything."),
    ],
)
def test_what_one_class_lost_on_validation_images_is_told_whatever_the_mean(made, spent, worst, said):
    summary = made()
    summary.method.fit.val_points_spent, summary.method.fit.val_points_worst = spent, worst
    assert words.spent_sentence(summary) == said


def test_points_and_percents():
    assert (report.percent(0.125), report.percent(None), report.points(-0.0781), report.points(None)) == (
        "12", "–", "-7.8", "–",
    )  # fmt: skip
