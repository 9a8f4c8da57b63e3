import pytest

from clinical_qkt.evidence.parts import AbstentionPoint, Counted
from clinical_qkt.review.report import further, worth


@pytest.fixture
def whole(made):
    return made(further=True, prevalence=0.5)


def test_abstention_says_how_many_are_left_to_a_person_and_what_is_wrong_among_the_rest(whole):
    told = " ".join(further.abstention_sentences(whole, whole.abstention))
    assert told == (
        "Where it is less than 90 % sure, 88 of 150 images, let a person look; of the rest 6 are wrong (of "
        "62 images, it may be as many as 20 of 100). Of the rest, 0 of 62 images of other classes are called "
        "dog."
    )


def test_abstention_where_the_model_is_never_or_always_sure(whole):
    part = whole.abstention
    none = Counted(count=0, images=0, share=None, ci95=None)
    nothing = {
        "threshold": 0.9,
        "answered": 0,
        "looked_at": 150,
        "wrong": 0,
        "wrong_share": None,
        "ci95": None,
    }
    part.points = [AbstentionPoint(**nothing, missed=none, false_alarms=none)]
    assert "never 90 % sure" in further.abstention_sentences(whole, part)[0]
    every = nothing | {
        "answered": 150,
        "looked_at": 0,
        "wrong": 1,
        "wrong_share": 1 / 150,
        "ci95": [0.0, 0.04],
    }
    part.points = [AbstentionPoint(**every, missed=none, false_alarms=none)]
    told = further.abstention_sentences(whole, part)
    assert told == [
        "It is at least 90 % sure of all 150 images: 1 is wrong (of 150 images, it may be as many as 4.0 of "
        "100)."
    ]
    part.points = []
    assert further.abstention_sentences(whole, part) == []


def test_it_is_told_from_when_on_the_model_is_to_be_switched_off(whole):
    told = further.switch_off_sentence(whole.switch_off)
    assert told.endswith(
        "or at once when images have changed and chance does that in fewer than 1 of 1,000 checks."
    )
    strict = whole.switch_off.model_copy(update={"alarms_in_a_row": 1})
    assert "alarms once, or" in further.switch_off_sentence(strict)


def test_the_gate_is_told_with_its_cost(whole):
    told = " ".join(further.gate_sentences(whole.gate))
    assert "where its highest score is low: under a limit that 95 of 100 of 30 own" in told
    assert "unlike the hospital's own in brightness" in told
    assert "The cost: of 40 test images that it names rightly, 1 is held back (2.5 of 100" in told
    kinds = [further.source_told(source) for source in whole.gate.sources]
    assert kinds == ["images of a class that was hidden from it: cow", "noise and drawn shapes"]


def test_the_group_with_the_smallest_recall_is_named_and_what_is_hidden_is_said_to_be(whole):
    told = further.group_sentences(whole, whole.subgroups)
    assert told[0] == (
        "Images of dog are recognised least where sex is f: 9 of 12 images (75 of 100; it may be as "
        "few as 43)."
    )
    assert "fewer than 10 images" in told[1] and "of 1 group a figure is missing" in told[1]
    hidden = whole.subgroups.columns[0].values[1]
    assert further.row_name(hidden) == "not told" and further.cell(hidden.query_recall) == "not shown"


def test_the_model_in_use_is_compared_and_what_it_lacks_is_told(whole):
    told = " ".join(further.in_use_sentences(whole, whole.in_use))
    assert "In use now is version 2, tested on the same 150 images." in told
    assert "It does not have dog" in told and "It has cow, which the new one does not" in told
    assert "Of 100 images of dog the new one recognises 12 more (probably 5.0 fewer to 30 more)." in told
    assert "the classes known before the new one recognises as many" in told
    assert "Of 100 images of other classes the new one calls 1.2 fewer dog" in told


def test_the_worth_of_a_model_is_told_by_threshold_or_not_shown_at_all(whole):
    tests_own, hospitals = (" ".join(worth.benefit_sentences(part)) for part in whole.net_benefit)
    assert (
        "20 % (the test images')" in tests_own and "the model is worth more than calling every" in tests_own
    )
    assert "0.5 % (the hospital's own): at no threshold is it shown" in hospitals


def test_precision_is_told_at_a_prevalence_and_drawn_points_are_few(whole):
    told = worth.curve_sentence(whole.precision_recall[1])
    assert "at a prevalence of 0.5 % (the hospital's own): average precision" in told
    assert all(2 <= len(worth.thinned(curve)) <= worth.ROWS for curve in whole.precision_recall)
    shown = worth.shown(whole.net_benefit[0])
    assert len(shown) <= worth.ROWS and (shown[0].threshold, shown[-1].threshold) == (0.01, 0.5)
