import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from clinical_qkt.review import report
from clinical_qkt.review.report import figures
from clinical_qkt.review.report import page as page_module
from clinical_qkt.review.summary_schema import StartWeights, TransferSummary

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
        if tag in {"td", "th", "small"}:  # cells are apart
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


PNG = "iVBORw0KGgo="


def html(summary, failures=False):
    """The page, with figures of no content: drawing them takes most of the time."""
    return page_module.page(summary, dict.fromkeys(figures.wanted(summary), PNG), failures=failures)


def written(summary, failures=False):
    return Page(html(summary, failures))


def test_the_card_tells_every_licence_and_cuts_no_long_one_without_saying_so(made):
    summary = made()
    summary.method.licence = ["ours <b>alone</b>"]
    assert "Licence: ours <b>alone</b>" in written(summary).text
    summary.method.licence = ["CC BY 4.0", "x " * 9000]
    page = html(summary)
    assert "<li>CC BY 4.0</li>" in page and "the whole text stands on the model&#39;s card" in page
    assert page.count("x x x") < 400


def test_the_card_tells_of_pretrained_weights_and_of_a_licence_that_nobody_knows(made):
    summary = made()
    assert "Pretrained weights" not in written(summary).text
    known = {"sha256": "a" * 64, "name": "lite0 <b>", "source": "ImageNet", "licence": "Apache-2.0"}
    unknown = {"sha256": "b" * 64, "name": "mine", "source": "here", "licence": "unknown"}
    summary.method.pretrained = [StartWeights(**w, trained_layers="head") for w in (known, unknown)]
    told = " ".join(written(summary).text.split())
    assert "lite0 <b>, source ImageNet, licence Apache-2.0 (SHA-256 aaaaaaaaaaaa…)" in told
    assert "licence unknown (SHA-256 bbbbbbbbbbbb…): what is unknown has to be asked for" in told
    assert told.count("has to be asked for") == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"wrong": 20},
        {"queried_images": 0},
        {"queried_images": 6, "patients": 7},
        {"query": ("dog", "eel")},
        {"answers": True},
        {"further": True, "prevalence": 0.5},
    ],
    ids=["accepted", "not accepted", "no queried images", "six", "two classes", "statistics", "further"],
)
def test_the_page_is_whole_readable_by_machines_and_alone(made, given):
    page = written(made(**given))
    assert (
        page.open == []
        and not re.search(r"\bNone\b(?! of| shows)", page.text)
        and not {"nan", "undefined"} & set(re.findall(r"\w+", page.text))
    )
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert [text for _, text in page.headings][-len(CARD) - 1 :] == [*CARD, "Which report this is"]
    tags = [tag for tag, _ in page.tags]
    assert tags.count("main") == 1 and "script" not in tags and "link" not in tags
    assert ("html", {"lang": "en"}) in page.tags
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        assert tag != "th" or attributes["scope"] in {"col", "row", "colgroup"}
        assert tag != "img" or (attributes["src"].startswith("data:image/png;base64,") and attributes["alt"])
        assert not [a for a in attributes if a.startswith("on") or a == "action"]
        if "href" in attributes:  # to itself alone
            assert attributes["href"][1:] in ids
        if attributes.get("role") == "region":
            assert attributes["tabindex"] == "0"
    regions = [a["aria-label"] for _, a in page.tags if a.get("role") == "region"]
    assert len(regions) == len(set(regions))


def test_every_figure_is_followed_by_a_table(made):
    for given in ({"further": True}, {"answers": True}):
        order = [tag for tag, _ in written(made(**given)).tags if tag in {"img", "table"}]
        assert "img" in order and all(b == "table" for a, b in pairwise(order) if a == "img")
        assert order[-1] == "table"


@pytest.mark.parametrize(
    ("given", "verdict", "mark"),
    [
        ({"wrong": 0}, "Accepted", "yes"),
        ({"wrong": 20}, "Not accepted", "no"),
        ({"queried_images": 0}, "Cannot be decided", "open"),
    ],
)
def test_first_come_question_verdict_sentence_rule_and_daily_practice(made, given, verdict, mark):
    summary = made(**given)
    page = written(summary)
    assert page.headings[:2] == [[1, "May the model with dog be used?"], [2, verdict]]
    assert ("div", {"class": f"verdict {mark}"}) in page.tags
    order = [
        page.text.index(told)
        for told in (
            report.verdict_sentence(summary),
            "Judged by the software's default limits",
            "The rule, line by line",
            "What an answer means in daily practice",
            "Limits of use",
            "Report 1A2B-3C4D-5E6F; MLflow run ffffffffffff, model version 3; weights a1a1a1a1a1a1",
            "Decided by",
            "Behind this sheet",
        )
    ]
    assert order == sorted(order)


def test_the_three_outcomes_of_a_line_differ_in_words_and_in_the_form_of_their_mark(made):
    page = written(made(wrong=20))
    cells = [a["class"] for tag, a in page.tags if tag == "td" and "outcome" in a.get("class", "")]
    assert cells == ["outcome open", "outcome no", "outcome no", "outcome open", "outcome no"]
    assert (
        "33 17 at least 50 default undecided" in page.text and "17 25 at most 10 default not met" in page.text
    )
    forms = {
        kind: [tag for tag, _ in written(made(**given)).tags][10:40]
        for kind, given in (("yes", {"wrong": 0}), ("no", {"wrong": 20}), ("open", {"queried_images": 0}))
    }
    drawn = {kind: next(t for t in tags if t in {"circle", "rect", "path"}) for kind, tags in forms.items()}
    assert drawn == {"yes": "circle", "no": "rect", "open": "path"}


def test_the_report_s_number_stands_in_the_footer_of_every_printed_page_and_can_do_nothing_else(
    made, tmp_path
):
    summary = made()
    text = html(summary)
    assert '@bottom-left { content: "Report 1A2B-3C4D-5E6F"; }' in text and "counter(pages)" in text
    summary.identity.report_id = 'x"; } body { display: none } </style><script>'
    page = written(summary)
    assert '"Report xbodydisplaynonestylescript"' in html(summary)
    assert "script" not in [tag for tag, _ in page.tags]


def test_digests_stand_whole_at_the_end(made):
    text = written(made()).text
    end = text[text.rindex("Which report this is") :]
    assert all(digest * 32 in end for digest in ("a1", "b2", "c3", "d4")) and "0123456789abcdef" in end


def test_no_share_of_right_answers_is_shown_without_a_prevalence(made):
    text = written(made()).text
    assert "right when named" not in text
    assert "10 80 " in text and "1 27 " in text  # what a call is worth, of 100, at 10 % and 1 %
    assert "0.5 (here) 15 " in written(made(prevalence=0.5)).text


def test_where_the_test_images_come_from_is_told_or_said_not_to_be(made):
    summary = made()
    text = written(summary).text
    assert "origin given to the hospital by the simulation labelled by not told against what not told" in text
    summary.data.generated = False
    text = written(summary).text
    assert "where they come from: not told" in text and "origin not told" in text and "Generated" not in text
    summary.data.test_data.origin, summary.data.test_data.device = "all smears of May", "one microscope"
    text = written(summary).text
    assert "images like the test images (all smears of May; device: one microscope)" in text


def test_counts_patients_and_intervals_stand_in_the_table_of_classes(made):
    summary = made()
    summary.forgetting.per_class_ci95["ape"] = [-0.058, 0.204]
    text = written(summary).text
    assert "dog (queried) 30 0 0 of 30 90 27 of 30; 73 to 98" in text
    assert "ape 40 100 40 of 40 92 37 of 40; 80 to 98 lost 7.5 gained 5.8 to lost 20" in text
    assert "ape 40 12 patients" in written(made(patients=12)).text


def test_mistakes_that_grew_are_a_sorted_list_in_words(made):
    text = written(made()).text
    assert "Of 100 images of ape, 8 more are called bee (before 0, now 3 of 40" in text
    assert "Of 100 images of cat, 8 more are called dog" in text
    assert "cat dog 0 → 3 of 40 7.5 more" in text and "dog ape 30 → 3 of 30 90 fewer" in text


def test_without_queried_images_the_evidence_there_is_is_shown(made):
    text = written(made(queried_images=0)).text
    assert "is unknown: there are no test images of it" in text and "at least 6 images of dog" in text
    assert "What an answer means in daily practice is unknown" in text
    assert "The new model wrongly calls 2.5 of 100 test images of other classes dog (3 of 120)." in text
    assert "hospital_2 97 92 40" in text and "hospital_3 not told 92 40" in text
    assert "dog (queried) 0 unknown unknown" in text
    assert "how many images of dog are recognised: there are no test images of it" in text


def test_with_a_handful_the_same_evidence_is_shown_and_else_not(made):
    text = written(made(queried_images=6)).text
    assert (
        "Only 6 images of dog" in text
        and "What else is known of dog" in text
        and "hospital_2 97 92 40" in text
    )
    assert "What else is known" not in written(made()).text


def test_further_parts_are_told_where_they_are_known_and_not_mentioned_else(made):
    headings = {"Compared with the model in use now", "What it leaves to a person", "Group by group"}
    shown = written(made(further=True, prevalence=0.5))
    assert headings <= {text for _, text in shown.headings}
    assert "clinical-qkt restore SITE.yaml 2" in shown.text
    assert (
        "“None of these”" in [text for _, text in shown.headings] and "75 (9 of 12; 43 to 95)" in shown.text
    )
    assert "not told not shown – not shown" in shown.text
    assert (
        "told apart by class and by sex" in shown.text and "may be held back as “none of these”" in shown.text
    )
    plain = written(made())
    assert not headings & {text for _, text in plain.headings}
    assert "gets one of their names all the same" in plain.text


def test_the_list_of_wrong_answers_is_mentioned_only_where_it_lies(made, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "drawn", lambda summary: {})
    for there in (False, True):
        if there:
            (tmp_path / "local").mkdir()
            (tmp_path / "local" / "failures.csv").write_text("file\n")
        report.write(tmp_path, made())
        text = Page((tmp_path / "report.html").read_text()).text
        assert ("stands in local/failures.csv in the transfer's folder" in text) is there
        assert str(tmp_path) not in text


def test_a_budget_that_could_not_be_kept_is_told(made):
    summary = made()
    for state in ("shown", "estimated", "not kept"):
        summary.method.fit.state = state
        assert ("the least costly one was taken" in written(summary).text) is (state == "not kept")


def test_nothing_is_said_of_what_this_hospital_cannot_know(made):
    for given in ({}, {"answers": True}):
        text = written(made(**given)).text
        assert "left any hospital" not in text and "this report cannot know" in text


def test_names_cannot_smuggle_markup_into_the_report(made):
    nasty = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    summary = made(known=("ape", nasty), query=(nasty[::-1] + "<b>",), queried_images=6, further=True)
    for t in summary.teachers:
        t.site, t.adapted = nasty, [nasty]
        t.alignment = [t.alignment[0].model_copy(update={"name": nasty, "as_": None, "how": nasty})]
    summary.untrusted_packages = [nasty]
    summary.student.site = summary.identity.created = summary.identity.run_id = nasty
    for key in ("origin", "device", "reference"):
        setattr(summary.data.test_data, key, nasty)
    summary.subgroups.columns[0].column = summary.subgroups.columns[0].values[0].value = nasty
    summary.in_use.version = summary.gate.sources[0].name = summary.rule.date = nasty
    page = written(summary)
    assert page.open == [] and nasty in page.text
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "b"}
    assert all(a["src"].startswith("data:") for tag, a in page.tags if tag == "img")


def test_the_report_tells_of_whom_the_new_model_consists(made):
    summary = made()
    text = written(summary).text
    assert "own model and those of hospital_2, hospital_3, which answer together" in text
    assert "nothing was trained" in text
    method = summary.method
    method.start_from, method.max_epochs, method.started_from = "teacher", 4, "hospital_9"
    text = written(summary).text
    assert "which started as that of hospital_9; trained on" in text and "nothing was" not in text


def test_answers_by_statistics_are_told_with_whom_they_hide_and_the_one_that_lies_far_off(made):
    text = written(made(answers=True)).text
    assert "3 hospitals were asked for numbers" in text
    assert "about 94 patients, noised (1, 1e-05)-private for one patient 0.40 limit 1.80" in text
    assert (
        "private mean, far off about 94 images, noised (1, 1e-05)-private for one image 2.50 limit 1.80"
        in text
    )
    assert "a patient with several images is hidden less" in text


def test_a_real_summary_is_written_up_with_its_figures(demo, tmp_path):
    summary = TransferSummary.model_validate_json((demo / "summary.json").read_text())
    report.write(tmp_path, summary)
    page = Page((tmp_path / "report.html").read_text())
    assert report.verdict_sentence(summary) in page.text
    drawn = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert drawn == set(figures.wanted(summary)) and len(drawn) == sum(tag == "img" for tag, _ in page.tags)
