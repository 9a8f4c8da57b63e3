"""What the report, the terminal, MLflow and a comparison say of images that look different."""

import json

import pytest
from rich.console import Console

from clinical_qkt.core.errors import InputError
from clinical_qkt.review import report
from clinical_qkt.review.comparison.printing import ROWS
from clinical_qkt.review.comparison.reading import read_summary
from clinical_qkt.review.report import alternatives, figures, looks
from clinical_qkt.review.report.reasons import reasons
from clinical_qkt.review.tracking.figure_names import figures as logged

from .evidence import looking, with_looks
from .test_figures import drawn, texts
from .test_page import written

FAR = looking("hospital_3", 9.0)
BROUGHT = looking("hospital_2", 4.2, mapped=True, left=0.12)
ANSWER = looking("hospital_4", 12.0, query="dog", mapped=True, left=0.3, length=0.6)


def test_the_first_page_says_that_images_differ_and_what_was_done_about_it(made):
    sheet = written(with_looks(made(), BROUGHT, ANSWER)).text.split("The rule, line by line")[0]
    assert "The images of hospital_2 look different. Its model is shown this hospital's images" in sheet
    assert "The images of hospital_4 look different. They were brought to this hospital's look" in sheet
    assert sheet.count("what is left is within the limit") == 2


def test_beyond_the_limits_the_verdict_and_its_reasons_say_so(made):
    s = with_looks(made(queried_images=0), FAR, BROUGHT)
    assert made(queried_images=0).verdict == "cannot be decided" and s.verdict == "not accepted"
    assert reasons(s)[0].startswith("looks: images of hospital_3 look different, beyond the limits")
    assert "9.0 spreads apart, nothing was done about it). This speaks against the model" in written(s).text
    assert read_summary(json.dumps(s.as_json()), "summary.json", whole=True)[0] == s


def test_where_test_images_show_that_the_model_works_looks_warn_and_decide_nothing(made):
    s = with_looks(made(images=400, queried_images=300), FAR)
    assert s.verdict == "accepted" and reasons(s) == []
    assert looks.sentences(s)[0].endswith("show that it works here all the same.")


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (looking(distance=None), "Whether the images of hospital_2 look different is not known."),
        (looking(distance=4.0, mapped=True, left=1.75), "1.8 spreads are left after they were brought"),
        (looking(distance=4.0, mapped=True, shared=[]), "no class is shared that would show what is left"),
        (looking(query="dog", length=22.0), "features of dog lie 22.0 times as far out"),
        (looking(query="dog", used=False), "The answer of hospital_2 for dog was left out"),
        (looking(apart={"bee": 3.0}), "images of bee differ in another way than its other classes: the name"),
        (looking(apart={"ape": 3.0, "bee": 3.0}), "images of ape and bee differ in another way"),
    ],
)
def test_every_doubt_has_a_sentence(made, site, said):
    assert said in " ".join(looks.sentences(with_looks(made(), site)))


def test_where_all_look_alike_the_first_page_is_silent_and_the_section_says_it(made):
    s = with_looks(made(), looking())
    assert looks.sentences(s) == [] and "what was compared looks alike" in written(s).text
    assert "look different?" not in written(made()).text  # nobody has looked


def test_each_model_and_answer_has_a_row_with_what_it_was_compared_on(made):
    s = with_looks(made(), BROUGHT, looking("hospital_5", 0.6, shared=[]), looking("x", None, shared=[]))
    assert [(row.before, row.after, row.rests_on, row.kind) for row in looks.lines(s)] == [
        ("4.2", "0.12", "ape", "yes"),
        ("0.60", "not mapped", "further hospitals", "no"),
        ("–", "not mapped", "–", "open"),
    ]


@pytest.mark.usefixtures("real_figures")
def test_the_figure_shows_before_and_after_beside_the_limit_and_its_words_say_the_same(made):
    s = with_looks(made(), BROUGHT, FAR, looking("x", None))
    assert "looks" in figures.wanted(s) and "looks" not in figures.wanted(with_looks(made()))
    told = texts(drawn(s, "looks"))
    assert {"hospital_2", "hospital_3", "4.20", "0.12", "9.00", "beyond"} <= set(told) and "x" not in told
    assert "hospital_3: 9.0 spreads apart" in alternatives.ALL["looks"](s)


def test_the_terminal_a_comparison_and_mlflow_have_it_too(made):
    s = with_looks(made(), BROUGHT, FAR, ANSWER)
    console = Console(record=True, width=120)
    report.print_transfer(console, s)
    assert "The images of hospital_3 look different" in console.export_text()
    assert ROWS["looks"](s) == "1 of 3 beyond" and ROWS["looks"](made()) == "not known"
    told = {name: value for name, value in logged(s).items() if name.startswith("looks/")}
    assert told["looks/beyond"] == 1 and told["looks/distance"] == 12.0 and told["looks/left"] == 0.3
    assert told["looks/distance/hospital_2"] == 4.2 and told["looks/left/hospital_3"] is None


def test_a_summary_whose_looks_contradict_their_limits_or_verdict_is_refused(made):
    raw = with_looks(made(queried_images=0), FAR).as_json()
    raw["looks"]["sites"][0]["outcome"] = "alike"
    with pytest.raises(InputError, match=r"looks.sites.0.outcome: says 'alike'"):
        read_summary(json.dumps(raw), "summary.json")
    raw = with_looks(made(queried_images=0), FAR).as_json() | {"verdict": "cannot be decided"}
    with pytest.raises(InputError, match="the criteria make it 'not accepted'"):
        read_summary(json.dumps(raw), "summary.json")
