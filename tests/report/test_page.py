import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from clinical_qkt import report

VOID = {"meta", "link", "img", "br"}
CARD = [
    "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
    "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
]  # fmt: skip


class Page(HTMLParser):
    """What a page consists of: tags with attributes, headings, text; and whether its tags are closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.headings, self.heard = [], [], [], []
        self.feed(html)
        self.close()
        self.text = " ".join("".join(self.heard).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in {"td", "th"}:  # cells are apart
            self.heard.append(" ")
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append([int(tag[1]), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.heard.append(data)
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.headings[-1][1] += data


def written(tmp_path, summary):
    report.write(tmp_path, summary)
    return Page((tmp_path / "report.html").read_text())


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"wrong": 20},
        {"queried_images": 0},
        {"queried_images": 6},
        {"query": ("dog", "eel")},
        {"answers": True},
    ],
    ids=["accepted", "not accepted", "no queried images", "six", "two classes", "statistics"],
)
def test_the_page_is_whole_readable_by_machines_and_alone(made, tmp_path, given):
    page = written(tmp_path, made(**given))
    assert (
        page.open == []
        and not re.search(r"\bNone\b(?! of a| shows)", page.text)
        and "nan" not in re.findall(r"\w+", page.text)
    )
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert [text for _, text in page.headings][-len(CARD) :] == CARD
    tags = [tag for tag, _ in page.tags]
    assert tags.count("main") == 1 and "script" not in tags and "link" not in tags
    assert ("html", {"lang": "en"}) in page.tags
    for tag, attributes in page.tags:
        assert tag != "th" or attributes["scope"] in {"col", "row", "colgroup"}
        assert tag != "img" or (attributes["src"].startswith("data:image/png;base64,") and attributes["alt"])
        assert not [a for a in attributes if a.startswith("on") or a == "action"]
        if "href" in attributes:  # to itself alone
            assert attributes["href"][1:] in {a.get("id") for _, a in page.tags}
        if attributes.get("role") == "region":
            assert attributes["tabindex"] == "0"
    regions = [a["aria-label"] for _, a in page.tags if a.get("role") == "region"]
    assert len(regions) == len(set(regions))


def test_every_figure_is_followed_by_a_table(made, tmp_path):
    for given in ({}, {"answers": True}):
        order = [tag for tag, _ in written(tmp_path, made(**given)).tags if tag in {"img", "table"}]
        assert "img" in order and all(b == "table" for a, b in pairwise(order) if a == "img")
        assert order[-1] == "table"


def test_first_comes_the_answer_then_the_rule(made, tmp_path):
    summary = made(wrong=0)
    page = written(tmp_path, summary)
    assert page.headings[1] == [2, "Accepted"]
    assert page.text.index(report.answer_sentence(summary)) < page.text.index("rule for a new model")
    refused = made(wrong=20)
    page = written(tmp_path, refused)
    assert page.headings[1] == [2, "Not accepted"]
    for reason in refused["against"]:
        assert reason in page.text


def test_counts_and_intervals_stand_in_the_table_of_classes(made, tmp_path):
    text = written(tmp_path, made()).text
    assert "dog (queried) 30 0 0 0 to 12 27 90 80 to 100" in text
    assert "ape 40 40 100 91 to 100 37 92 82 to 100 +7.5" in text


def test_mistakes_that_grew_are_a_sorted_list_in_words(made, tmp_path):
    summary = made()
    text = written(tmp_path, summary).text
    lines = (
        "Of 100 images of dog, 10 fewer",
        "Of 100 images of ape, 8 more are called bee (before 0, now 3 of 40",
    )
    assert lines[1] in text
    assert "Of 100 images of cat, 8 more are called dog" in text


def test_without_queried_images_the_evidence_there_is_is_shown(made, tmp_path):
    text = written(tmp_path, made(queried_images=0)).text
    assert "is unknown: there are no test images of it" in text and "Not accepted because" in text
    assert "The new model wrongly calls 2 of 100 test images of other classes dog (3 of 120)." in text
    assert "hospital_2 97 92 40" in text and "hospital_3 not told 92 40" in text
    assert "dog (queried) 0 – unknown – – unknown –" in text
    assert "how many images of dog are recognised: there are no test images of it" in text


def test_with_a_handful_the_same_evidence_is_shown_and_else_not(made, tmp_path):
    text = written(tmp_path, made(queried_images=6)).text
    assert (
        "Only 6 images of dog" in text
        and "What else is known of dog" in text
        and "hospital_2 97 92 40" in text
    )
    assert "What else is known" not in written(tmp_path, made()).text


def test_a_budget_that_could_not_be_kept_is_told(made, tmp_path):
    summary = made()
    for kept in (True, False):
        summary["method"]["fit"]["val_within_budget"] = kept
        assert ("cost more than the budget" in written(tmp_path, summary).text) is not kept


def test_names_cannot_smuggle_markup_into_the_report(made, tmp_path):
    nasty = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    summary = made(known=("ape", nasty), query=(nasty[::-1] + "<b>",), queried_images=6)
    for t in summary["teachers"]:
        t |= {"site": nasty, "adapted": [nasty], "alignment": [{"class": nasty, "as": None, "how": nasty}]}
    summary["untrusted_packages"] = [nasty]
    summary["against"] = [nasty]
    summary["accepted"] = False
    page = written(tmp_path, summary)
    assert page.open == [] and nasty in page.text
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "b"}
    assert all(a["src"].startswith("data:") for tag, a in page.tags if tag == "img")


def test_the_report_tells_of_whom_the_new_model_consists(made, tmp_path):
    summary = made()
    text = written(tmp_path, summary).text
    assert "own model and those of hospital_2, hospital_3, which answer together" in text
    assert "nothing was trained" in text
    summary["method"] |= {"start_from": "teacher", "max_epochs": 4, "started_from": "hospital_9"}
    text = written(tmp_path, summary).text
    assert "which started as that of hospital_9; trained on" in text and "nothing was" not in text


def test_answers_by_statistics_are_told_with_the_one_that_lies_far_off(made, tmp_path):
    text = written(tmp_path, made(answers=True)).text
    assert "3 hospitals were asked for numbers" in text
    assert "hospital_4 trusted dog private mean, far off 94 1.0 2.50 1.80" in text


def test_a_real_summary_is_written_up(demo, tmp_path):
    import json

    summary = json.loads((demo / "summary.json").read_text())
    assert report.answer_sentence(summary) in written(tmp_path, summary).text
