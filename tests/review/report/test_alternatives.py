import re

import pytest

from clinical_qkt.review.report import alternatives, figures, page

from .evidence import with_parts


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"answers": True},
        {"images": 0},
        {"queried_images": 0},
        {"queried_images": 6, "wrong": 0},
        {"query": ("dog", "eel"), "prevalence": 2.0, "patients": 9},
    ],
)
def test_every_figure_has_an_alternative_in_whole_sentences(made, summary):
    s = with_parts(made(**summary))
    for name in figures.wanted(s):
        told = alternatives.ALL[name](s)
        assert told.endswith(alternatives.TABLE) and len(told) > 60
        assert not re.search(r"\bNone\b|\bnan\b|  |\.\.", told), told


def test_an_alternative_tells_the_main_content(made):
    s = with_parts(made(prevalence=2.0))
    assert "recognises dog in 90 of 100 cases" in alternatives.recall(s)
    assert re.search("3 of (30|40) images", alternatives.confusion(s))
    assert "On average the probability that it states" in alternatives.calibration(s)
    assert "dog is known to hospital_2 and hospital_3" in alternatives.masks(s)
    assert "Far off: hospital_4 for dog" in alternatives.responses(made(answers=True))
    assert "dog: from a threshold of 5 % to one of 95 %" in alternatives.thresholds(s)
    assert "97 of 384 images, let a person look; of the rest 1 is wrong" in alternatives.abstention(s)
    assert "If it answers for 384 images, 30 answers are wrong" in alternatives.abstention(s)
    assert "average precision 90 of 100" in alternatives.precision_recall(s)
    assert "with thresholds from 10 % to 20 %" in alternatives.decision(s)
    assert "Most often called dog: cat, 3 of 40 images" in alternatives.false_alarms(s)
    assert "Where 2 % of the images show dog: of 100 answers that name it" in alternatives.base_rates(s)


def test_without_an_own_prevalence_the_ends_of_the_ladder_are_told(made):
    told = alternatives.base_rates(made())
    assert "Where 50 % of" in told and "Where 0.1 % of" in told and "Where 5 % of" not in told


def test_what_is_unknown_or_did_not_happen_is_said_so(made):
    assert "how many images found there are is unknown" in alternatives.thresholds(made(queried_images=0))
    assert "No mistake grew" in alternatives.confusion(made(wrong=0))
    assert "No image of another class is called dog" in alternatives.false_alarms(made(wrong=0))


SINGLE = "dog: from a threshold of 5 % on, images found are 100 of 100, and false alarms are "


@pytest.mark.parametrize(("kept", "says"), [(1, SINGLE), (0, "dog: no threshold is told.")])
def test_a_summary_may_tell_of_a_single_threshold_or_none(made, kept, says):
    s = made()
    s.after.thresholds["dog"] = s.after.thresholds["dog"][:kept]
    assert says in alternatives.thresholds(s)
    assert says in page.page(s, dict.fromkeys(figures.drawn(s), "iVBORw0KGgo="))
