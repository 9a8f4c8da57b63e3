"""Sites with other names, orders, parts and extra classes: aligned where sure, else refused."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import CONFIGS, ROOT, run, square
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel, ValidationError
from rich.console import Console
from test_teachers import package

from clinical_qkt import bundle
from clinical_qkt.alignment import print_alignment, run_align
from clinical_qkt.errors import InputError, PackageError
from clinical_qkt.labels import Alignment, ClassLabel, DistinctClasses, LabelSpace, SiteClass, align, fold
from clinical_qkt.methods.case import Case
from clinical_qkt.opinion import merged
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.packages.store import load_model, save_model
from clinical_qkt.policy import Policy
from clinical_qkt.sites import read_labels
from clinical_qkt.targets import aligned, asked
from clinical_qkt.teachers import all_classes, committee, probe, read_teachers, starting_point

CPU = torch.device("cpu")
GRANULOCYTE = SiteClass.model_validate({"name": "granulocyte", "merges": ["neutrophil", "eosinophil"]})
MONOCYTE = SiteClass.model_validate({"name": "monocyte", "synonyms": ["mono", "monocytes"]})
PLATELET = SiteClass.model_validate({"name": "platelet", "synonyms": ["thrombocyte"]})
OURS = LabelSpace([GRANULOCYTE, MONOCYTE, PLATELET])


def coded(name: str, code: str) -> ClassLabel:
    return ClassLabel(name=name, system="s", code=code)


def hows(source: LabelSpace, target: LabelSpace) -> list[tuple[str, list[str], str]]:
    return [
        (source[row.source].name, [target[j].name for j in row.targets], row.how)
        for row in Alignment(source, target).rows
    ]


def test_the_table_tells_of_every_class_what_became_of_it_and_why():
    theirs = LabelSpace(["Eosinophil", "smudge cell", "MONO", "neutrophil", "granulocytes"])
    assert hows(theirs, OURS) == [
        ("Eosinophil", ["granulocyte"], "merged"),
        ("smudge cell", [], "no such class"),
        ("MONO", ["monocyte"], "synonym"),
        ("neutrophil", ["granulocyte"], "merged"),
        ("granulocytes", [], "no such class"),
    ]
    table = Alignment(theirs, OURS)
    assert table.columns == align(theirs, OURS) == {0: 0, 2: 1, 3: 0}
    assert [OURS[j].name for j in table.missing] == ["platelet"]


def test_codes_decide_before_names_synonyms_and_parts():
    part = {"name": "neutrophil", "system": "s", "code": "1"}
    ours = LabelSpace(
        [
            SiteClass.model_validate({"name": "granulocyte", "system": "s", "code": "9", "merges": [part]}),
            SiteClass.model_validate({"name": "platelet", "system": "s", "code": "2", "synonyms": ["disc"]}),
        ]
    )
    theirs = LabelSpace(
        [coded("disc", "3"), coded("segmented", "1"), coded("other", "2"), coded("neutrophil", "4")]
    )
    assert hows(theirs, ours) == [
        ("disc", ["platelet"], "same name, other code"),
        ("segmented", ["granulocyte"], "merged"),
        ("other", ["platelet"], "code"),
        ("neutrophil", ["granulocyte"], "same name, other code"),
    ]
    assert align(theirs, ours) == {1: 0, 2: 1}
    assert Alignment(LabelSpace([coded("disc", "3")]), ours).missing == [0, 1]


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (["granulocyte", "neutrophil"], "'granulocyte' and 'neutrophil' could both be 'granulocyte'"),
        (["mono", "monocytes"], "'mono' and 'monocytes' could both be 'monocyte'"),
        (
            [coded("neutrophil", "1"), coded("neutrophil", "2")],
            r"'neutrophil' \(s 1\) and 'neutrophil' \(s 2\) could both be 'granulocyte'",
        ),
    ],
)
def test_what_could_be_aligned_in_two_ways_is_refused_by_name(theirs, says):
    with pytest.raises(InputError, match=rf"package of b: {says}"):
        align(LabelSpace(theirs), OURS, where="package of b")
    table = Alignment(LabelSpace(theirs), OURS)
    assert [row.how for row in table.rows] == ["ambiguous"] * 2 and table.columns == {}


def test_a_class_that_could_be_two_of_ours_is_refused_by_name():
    ours = LabelSpace([coded("cell", "1"), coded("cell", "2")])
    with pytest.raises(InputError, match=r"'cell' could be 'cell' \(s 1\) or 'cell' \(s 2\)"):
        align(LabelSpace(["cell"]), ours)
    with pytest.raises(InputError, match=r"'cell' could be 'cell' \(s 1\) or 'cell' \(s 2\)"):
        ours.find("cell")


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ([GRANULOCYTE, "Neutrophil"], "'granulocyte' and 'Neutrophil' overlap: both mean 'neutrophil'"),
        ([MONOCYTE, "mono"], "'monocyte' and 'mono' overlap: both mean 'mono'"),
        (["a", SiteClass(name="b", synonyms=("A",))], "'a' and 'b' overlap: both mean 'a'"),
        (
            [GRANULOCYTE, SiteClass(name="cell", merges=(ClassLabel(name="eosinophil"),))],
            "'granulocyte' and 'cell' overlap: both mean 'eosinophil'",
        ),
    ],
)
def test_a_list_whose_classes_overlap_is_refused_with_both_names(classes, says):
    with pytest.raises(InputError, match=says):
        LabelSpace(classes)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"synonyms": ["Platelet"]}, "'platelet' stands for 'platelet' in two ways"),
        ({"synonyms": ["disc"], "merges": ["disc"]}, "'platelet' stands for 'disc' in two ways"),
        (
            {"system": "s", "code": "1", "merges": [{"name": "x", "system": "s", "code": "1"}]},
            "'x' in two ways",
        ),
        ({"synonyms": "disc"}, r"has to be a list, e.g. \[disc\]"),
        ({"merges": [{"name": "x", "synonyms": ["y"]}]}, "Extra inputs"),
        ({"name": "plate\x1b[2Jlet"}, "control characters"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(declared, says):
    with pytest.raises(ValidationError, match=says):
        SiteClass.model_validate({"name": "platelet", **declared})


def test_declarations_get_onto_no_card_and_others_have_no_effect():
    class Paper(BaseModel):
        classes: DistinctClasses

    card = Paper(classes=list(OURS))
    assert [type(c) for c in card.classes] == [ClassLabel] * 3 and 'mono"' not in card.model_dump_json()
    with pytest.raises(ValidationError, match="Extra inputs"):
        Paper.model_validate({"classes": [{"name": "platelet", "synonyms": ["monocyte"]}]})
    # even in memory only our own declarations count
    assert align(LabelSpace([SiteClass(name="x", synonyms=("a",))]), LabelSpace(["a"])) == {}


def test_a_part_is_found_for_a_label_and_not_for_an_answer():
    assert OURS.find("Neutrophil") == 0 and OURS.find("Neutrophil", parts=False) is None
    assert OURS.find("thrombocyte", parts=False) == 2
    query = QueryCard.model_construct(site="asker", welcome=["private_mean"])
    decide = [Policy().decide(query, ClassLabel(name=n), OURS) for n in ("neutrophil", "thrombocyte")]
    assert decide == ["this site has no such class", "private_mean"]
    twice = LabelSpace([coded("cell", "1"), coded("cell", "2")])
    assert "more than one" in Policy().decide(query, ClassLabel(name="cell"), twice)


def test_names_written_with_composed_and_decomposed_letters_are_the_same():
    assert fold("caf\u00e9") == fold("CAFE\u0301")


plain_names = st.text("abcxyz 1", min_size=1, max_size=6).filter(fold)
name_lists = st.lists(plain_names, min_size=1, max_size=7, unique_by=fold)
codes = st.one_of(st.none(), st.integers(0, 3))


@st.composite
def lists_with_codes(draw) -> LabelSpace:
    """Few names and codes, so that they often meet."""
    classes = draw(st.lists(st.tuples(st.sampled_from("abc"), codes), min_size=1, max_size=5))
    try:
        return LabelSpace([ClassLabel(name=n) if c is None else coded(n, str(c)) for n, c in classes])
    except InputError:
        assume(False)
        raise


@given(name_lists, st.randoms(use_true_random=False))
def test_a_shuffled_copy_in_other_case_is_aligned_one_to_one(names, random):
    order = random.sample(range(len(names)), len(names))
    change = random.choice([str.upper, str.title, lambda n: f" {n}", lambda n: n.replace(" ", "_-")])
    assert align(LabelSpace([change(names[i]) for i in order]), LabelSpace(names)) == dict(enumerate(order))


@given(lists_with_codes(), lists_with_codes(), st.randoms(use_true_random=False))
def test_order_never_matters(theirs, ours, random):
    a, b = (random.sample(list(s), len(s)) for s in (theirs, ours))
    shuffled = Alignment(LabelSpace(a), LabelSpace(b))
    table = Alignment(theirs, ours)
    told, again = (
        {t.source[r.source]: (r.how, {t.target[j] for j in r.targets}) for r in t.rows}
        for t in (table, shuffled)
    )
    assert told == again and len(table.ambiguities) == len(shuffled.ambiguities)


@given(lists_with_codes(), lists_with_codes())
def test_codes_win_and_ambiguity_is_refused_and_never_guessed(theirs, ours):
    meant = {(i, j) for i, a in enumerate(theirs) for j, b in enumerate(ours) if b.means(a)}
    for i, j in meant:
        if theirs[i].code and ours[j].code:
            assert theirs[i].code == ours[j].code
    doubled = any(len([p for p in meant if p[side] == k]) > 1 for side in (0, 1) for k in range(5))
    if doubled:
        with pytest.raises(InputError, match="could"):
            align(theirs, ours)
    else:
        assert align(theirs, ours) == dict(sorted(meant))
    taken = Alignment(theirs, ours).columns
    assert len(set(taken.values())) == len(taken) and set(taken.items()) <= meant


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 10_000))
def test_merged_probabilities_are_the_sums_over_the_parts(columns, seed):
    logits = 5 * torch.randn(3, len(columns), generator=torch.Generator().manual_seed(seed))
    found, distinct = merged(logits, columns)
    assert distinct == list(dict.fromkeys(columns))
    expected = torch.zeros(3, 5).index_add_(1, torch.tensor(columns), logits.softmax(1))
    assert torch.allclose(found.softmax(1), expected[:, distinct], atol=1e-6)


def test_of_a_merged_class_the_parts_that_the_teacher_knows_count():
    logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    columns = {0: 1, 1: 0, 2: 1, 3: 1}
    out = aligned(logits, columns, [True, True, True, False], 3)
    assert out[0, 0] == 2 and torch.isnan(out[0, 2])
    assert torch.isclose(out[0, 1], torch.tensor([1.0, 3.0]).logsumexp(0))
    assert torch.isnan(aligned(logits, columns, [False] * 4, 3)).all()


@pytest.fixture
def relabelled(tmp_path):
    """The student's model, and teachers with parts, synonyms and classes that it has never heard of."""
    labels = LabelSpace([GRANULOCYTE, MONOCYTE, PLATELET])
    own = package(tmp_path, "student", ["granulocyte", "monocyte"])
    folders = [
        package(tmp_path, "parts", ["thrombocyte", "blast", "eosinophil", "mono", "neutrophil"]),
        package(tmp_path, "half", ["neutrophil", "eosinophil", "platelet"], known=["neutrophil", "platelet"]),
    ]
    teachers = read_teachers([own, *folders], labels)
    for teacher in teachers:
        probe(teacher, count=32, seed=0, device=CPU)
    return teachers[0].model, teachers[1:], labels


def test_teachers_with_parts_and_extra_classes_sit_in_a_committee(relabelled, tmp_path):
    own, teachers, labels = relabelled
    # no class that the student merges comes a second time as a class of its own
    assert all_classes(labels, teachers).names == ["granulocyte", "monocyte", "platelet", "blast"]
    joined = committee(own, teachers, labels)
    assert [seat.columns for seat in joined.card.network.members] == [[0, 1], [2, 3, 0, 1, 0], [0, 2]]
    assert [t.known_columns for t in teachers] == [{0, 1, 2}, {0, 2}]
    images = torch.rand(3, 3, 28, 28)
    save_model(
        tmp_path / "joined", joined.network, joined.card.model_copy(update={"label_space": labels.plain})
    )
    again = load_model(tmp_path / "joined").network
    assert torch.allclose(again(images), joined.network(images), atol=1e-6)
    logits = {t.site: t.model.network(images).detach() for t in teachers}
    mine = own.network(images).detach()
    joint = asked(teachers, logits, mine, labels, "joint")
    assert torch.allclose(joint[:, 0], joined.network(images), atol=1e-4)
    each = asked(teachers, logits, mine, labels, "each")
    parts = logits["parts"].softmax(1)
    expected = torch.stack([parts[:, [2, 4]].sum(1), parts[:, 3], parts[:, 0]], 1)
    assert torch.allclose(each[:, 0].softmax(1), expected / expected.sum(1, keepdim=True), atol=1e-5)


def test_a_teacher_whose_classes_are_merged_is_no_starting_point(relabelled):
    own, teachers, labels = relabelled
    assert starting_point(own, teachers[:1], labels, [2], "teacher")[1] is own
    assert starting_point(own, teachers, labels, [2], "teacher")[1] is teachers[1].model


def test_what_one_teacher_calls_its_extra_classes_does_not_shut_out_another(tmp_path):
    """Two teachers' classes that the student lacks disagree in codes; a third has no codes."""
    labels = LabelSpace([coded("a", "1"), ClassLabel(name="q")])
    lists = {
        "one": ["q", coded("a", "2"), coded("x", "7")],
        "two": ["q", coded("x", "8")],
        "three": ["a", "q", "x"],
    }
    teachers = read_teachers([package(tmp_path, site, classes) for site, classes in lists.items()], labels)
    for teacher in teachers:
        probe(teacher, count=32, seed=0, device=CPU)
    everyone = all_classes(labels, teachers)
    assert everyone.names == ["a", "q", "a", "x", "x"]
    # the third's 'a' stays the student's, and its 'x', which could be either, is left out
    assert [t.known_rows(everyone) for t in teachers] == [{0: 1, 1: 2, 2: 3}, {0: 1, 1: 4}, {0: 0, 1: 1}]


def test_a_teachers_ambiguous_list_is_refused_with_its_site(tmp_path):
    with pytest.raises(
        InputError, match=r"package of b: label_space: 'mono' and 'Monocyte' could both be 'monocyte'"
    ):
        read_teachers([package(tmp_path, "b", ["mono", "Monocyte"])], OURS)


def test_methods_that_average_weights_refuse_declared_classes(relabelled, tmp_path):
    own, teachers, labels = relabelled
    case = Case(own, labels, [2], [], [], teachers, [], 0, CPU, tmp_path)
    with pytest.raises(
        InputError, match="method 'fedavg': cannot tell that 'granulocyte' stands for 'neutrophil' too"
    ):
        case.require_no_declarations("fedavg")


# The command


def site_file(folder: Path, **values: Any) -> Path:
    (folder / "site.yaml").write_text(yaml.safe_dump({"site": "us", **values}))
    return folder / "site.yaml"


CLASSES = [
    {"name": "granulocyte", "merges": ["neutrophil", "eosinophil"]},
    {"name": "monocyte", "synonyms": ["mono"]},
]


def test_the_command_prints_every_class_and_ends_well(tmp_path, capfd):
    site = site_file(tmp_path, classes=CLASSES, query=["platelet", "blast"], settings={"anything": 1})
    folder = package(tmp_path, "b", ["neutrophil", "[bold]mono", "Platelet", "mono"])
    assert run("align", str(site), str(folder)) == 0
    shown = capfd.readouterr().out
    assert "b: 3 of 4 classes aligned" in shown and "part of it" in shown and "[bold]mono" in shown
    assert "It has none of: blast" in shown and "Asked for, and in none of these lists: blast" in shown


def test_the_command_shows_everything_before_it_refuses_what_is_ambiguous(tmp_path, capfd):
    site = site_file(tmp_path, classes=CLASSES)
    folders = [package(tmp_path, s, ["mono", c]) for s, c in (("b", "monocyte"), ("c", "neutrophil"))]
    assert run("align", str(site), *map(str, folders)) == 2
    told = capfd.readouterr()
    assert "AMBIGUOUS" in told.out and "c: 2 of 2 classes aligned" in told.out
    assert "label alignment: b: 'mono' and 'monocyte' could both be 'monocyte'" in told.err
    assert "To fix it: " in told.err


def test_the_command_refuses_a_package_that_was_changed(tmp_path):
    folder = package(tmp_path, "b", ["a", "b"])
    (folder / "card.json").write_text((folder / "card.json").read_text().replace('"a"', '"c"'))
    with pytest.raises(PackageError, match="does not match its digest"):
        run_align(site_file(tmp_path, classes=["a"]), [folder], Console(quiet=True))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[a, b]", "is no mapping"),
        ("classes: [", "cannot be read"),
        ("query: [a]", "classes: "),
        ("classes: [a, {name: b, synonym: [a]}]", r"classes\.1\.synonym"),
        ("classes: [a, {name: b, synonyms: [A]}]", "'a' and 'b' overlap"),
        ("{classes: [{name: a, merges: [q]}], query: [q]}", "query: 'a' and 'q' overlap: both mean 'q'"),
    ],
)
def test_a_site_whose_classes_make_no_sense_is_refused(tmp_path, content, says):
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(InputError, match=says):
        read_labels(tmp_path / "s.yaml")


def test_codes_are_shown_where_there_are_any():
    console = Console(record=True, width=100, file=io.StringIO())
    print_alignment(console, "b", Alignment(LabelSpace([coded("x", "7")]), LabelSpace([coded("x", "8")])))
    shown = console.export_text()
    assert "x (7)" in shown and "same name, other code" in shown and "It has none of: x" in shown


# From end to end


def hospital(folder: Path, called: dict[str, str], **values: Any) -> Path:
    """A site's YAML, with a datalist of coloured squares that has its own names for the colours."""
    folder.mkdir()
    content: dict[str, Any] = {"name": "squares", "generated": True}
    for section, start, count in (("training", 0, 40), ("validation", 1000, 16), ("test", 2000, 12)):
        content[section] = []
        for colour, name in called.items():
            for i in range(start, start + count):
                Image.fromarray(square(colour, i)).save(folder / f"{colour}{i}.png")
                content[section].append({"image": f"{colour}{i}.png", "label": name})
    (folder / "datalist.json").write_text(json.dumps(content))
    places = {"data": str(folder / "datalist.json"), "output_dir": str(folder / "runs")}
    common = {"mlflow": f"sqlite:///{folder}/m.db", "max_epochs": 5, "batch_size": 32, "learning_rate": 0.005}
    return site_file(folder, **places, **common, **values)


def test_a_student_that_merges_classes_gains_one_from_a_teacher_with_its_own_list(tmp_path):
    student = hospital(
        tmp_path / "student",
        {"red": "red", "yellow": "Yellow", "green": "lime", "blue": "azure"},
        site="student",
        classes=[{"name": "warm", "merges": ["red", "yellow"]}, {"name": "green", "synonyms": ["lime"]}],
        query=[{"name": "blue", "synonyms": ["azure"]}],
        teachers=[str(tmp_path / "package")],
    )
    theirs = {"violet": "violet", "blue": "azure", "yellow": "yellow", "green": "GREEN", "red": "red"}
    teacher = hospital(tmp_path / "teacher", theirs, site="teacher", classes=list(theirs.values()))
    for site in (student, teacher):
        bundle.run([CONFIGS / "train.yaml", site])
    bundle.run(
        [CONFIGS / "train.yaml", CONFIGS / "share.yaml", teacher], package_dir=str(tmp_path / "package")
    )
    out = tmp_path / "student" / "runs" / "transfer"
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", student])

    summary = json.loads((out / "summary.json").read_text())
    assert [tuple(row.values()) for row in summary["teachers"][0]["alignment"]] == [
        ("violet", None, "no such class"),
        ("azure", "blue", "synonym"),
        ("yellow", "warm", "merged"),
        ("GREEN", "green", "name"),
        ("red", "warm", "merged"),
    ]
    assert summary["after"]["query_recall"] > 0.6 and summary["after"]["retained_recall"] > 0.6
    card = load_model(out / "model").card
    assert card.labels.names == ["warm", "green", "blue"]
    assert [seat.columns for seat in card.network.members] == [[0, 1], [3, 2, 0, 1, 0]]
    page = (out / "report.html").read_text()
    assert "violet: no such class; yellow: part of warm; red: part of warm" in page
    # what the student declared for itself stands on no card of its own
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "query.yaml", student])
    for written in (out / "model", out.parent / "model", out.parent / "query"):
        text = (written / "card.json").read_text()
        assert not [word for word in ("lime", "azure", "merges", "synonyms") if word in text]


def test_a_model_of_other_classes_than_the_yaml_lists_is_not_transferred_to(demo, tmp_path):
    file = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" in p.read_text())
    classes = yaml.safe_load(file.read_text())["classes"]
    merging = {"name": "several", "merges": classes[:2]}, {"name": "more", "merges": classes[:1]}
    for changed in (classes[::-1], [merging[0], *classes[2:]], [merging[1], *classes[1:]]):
        with pytest.raises(InputError, match="was trained for other classes"):
            bundle.run(
                [CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", file],
                classes=changed,
                transfer_dir=str(tmp_path / "t"),
                mlflow=f"sqlite:///{tmp_path}/m.db",
            )
    with pytest.raises(InputError, match="was trained for other classes"):
        bundle.run(
            [CONFIGS / "train.yaml", CONFIGS / "query.yaml", file],
            classes=classes[::-1],
            query_dir=str(tmp_path / "q"),
        )
    assert not (tmp_path / "q").exists()
    assert not (tmp_path / "t" / "model").exists()


# The documentation


LISTS: dict[str, list[Any]] = {
    "hospital_b": ["Thrombocyte", "eosinophil", "smudge cell", "mono", "neutrophil"],
    "hospital_c": [
        "platelet",
        {"name": "T and B cells", "system": "http://example.org/cells", "code": "L1"},
        {"name": "lymphocyte", "system": "http://example.org/cells", "code": "L9"},
        "monocytes",
    ],
    "hospital_d": ["platelet", "mono", "Monocyte"],
}


def test_the_how_to_shows_what_its_commands_print(tmp_path):
    lines = (ROOT / "docs/how-to/match-label-lists.md").read_text().splitlines()
    blocks = [
        b.strip("\n") for b in re.findall(r"(?:(?:    .*)?\n)+", "\n".join(["", *lines, ""])) if b.strip()
    ]
    blocks = [textwrap.dedent(b) for b in blocks]
    declared, *rest = blocks
    (tmp_path / "SITE.yaml").write_text(declared)
    for site, classes in LISTS.items():
        package(tmp_path / "packages", site, classes)
    assert len(rest) == 4 and all(rest[i].startswith("clinical-qkt align ") for i in (0, 2))
    for command, shown, code in ((rest[0], rest[1], 0), (rest[2], rest[3], 2)):
        done = subprocess.run(
            [sys.executable, "-m", *command.replace("clinical-qkt", "clinical_qkt").split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "80"},
        )
        assert done.returncode == code
        printed = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
        assert [p for p in printed if p] == [line for line in shown.splitlines() if line]
    # and what it advises for the ambiguous list is the remedy
    either = SiteClass.model_validate({"name": "monocyte of any kind", "merges": ["mono", "monocyte"]})
    assert align(LabelSpace(LISTS["hospital_d"]), LabelSpace([either, "platelet"])) == {0: 1, 1: 0, 2: 0}
