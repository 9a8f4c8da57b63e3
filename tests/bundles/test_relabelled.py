"""Teachers and students whose label lists differ, from the committee to the whole transfer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from clinical_qkt import bundle
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel, LabelSpace, SiteClass
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.targets import soft_targets
from clinical_qkt.qkt.teachers import all_classes, committee, read_teachers, starting_point
from clinical_qkt.research.methods.case import Case
from tests.conftest import CONFIGS, site_file, square
from tests.qkt.test_teachers import package

CPU = torch.device("cpu")
GRANULOCYTE = SiteClass.model_validate({"name": "granulocyte", "merges": ["neutrophil", "eosinophil"]})
MONOCYTE = SiteClass.model_validate({"name": "monocyte", "synonyms": ["mono", "monocytes"]})
PLATELET = SiteClass.model_validate({"name": "platelet", "synonyms": ["thrombocyte"]})
OURS = LabelSpace([GRANULOCYTE, MONOCYTE, PLATELET])


def coded(name: str, code: str) -> ClassLabel:
    return ClassLabel(name=name, system="s", code=code)


@pytest.fixture
def relabelled(tmp_path):
    """The student's model, and teachers with parts, synonyms and classes that it has never heard of."""
    labels = LabelSpace([GRANULOCYTE, MONOCYTE, PLATELET])
    own = package(tmp_path, "student", ["granulocyte", "monocyte"])
    folders = [
        package(tmp_path, "parts", ["thrombocyte", "blast", "eosinophil", "mono", "neutrophil"]),
        package(tmp_path, "half", ["neutrophil", "eosinophil", "platelet"], known=["neutrophil", "platelet"]),
    ]
    read = read_teachers([own, *folders], labels)
    teachers = [probe(model, count=32, seed=0, device=CPU) for model in read]
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
    joint = soft_targets(teachers, logits, mine, labels, "joint")
    assert torch.allclose(joint[:, 0], joined.network(images), atol=1e-4)
    each = soft_targets(teachers, logits, mine, labels, "each")
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
    read = read_teachers([package(tmp_path, site, classes) for site, classes in lists.items()], labels)
    teachers = [probe(model, count=32, seed=0, device=CPU) for model in read]
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
    case = Case(
        own=own, labels=labels, query=[2], training=[], validation=[], teachers=teachers, augment=[], seed=0,
        device=CPU, shared=tmp_path,
    )  # fmt: skip
    with pytest.raises(
        InputError, match="method 'fedavg': cannot tell that 'granulocyte' stands for 'neutrophil' too"
    ):
        case.require_no_declarations("fedavg")


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


@pytest.mark.slow
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
        [CONFIGS / "train.yaml", CONFIGS / "share.yaml", teacher],
        package_dir=str(tmp_path / "package"),
        yes=True,
    )
    out = tmp_path / "student" / "runs" / "transfer"
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", student], untrusted_packages="accept")

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
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "query.yaml", student], yes=True)
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
            yes=True,
        )
    assert not (tmp_path / "q").exists()
    assert not (tmp_path / "t" / "model").exists()
