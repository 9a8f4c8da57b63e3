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


def test_points_and_percents():
    assert (report.percent(0.125), report.percent(None), report.points(-0.0781), report.points(None)) == (
        "12", "–", "-7.8", "–",
    )  # fmt: skip
