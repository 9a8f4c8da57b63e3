"""Hospitals of which some list sub-types of a class, and others the class."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.data.sources import open_source
from clinical_qkt.networks.committee import Committee
from clinical_qkt.qkt.teachers import Teacher, committee
from clinical_qkt.research.benchmark import site_networks
from clinical_qkt.research.benchmark.compare import mask_scores
from clinical_qkt.research.benchmark.config import Scenario
from clinical_qkt.research.benchmark.federation import Federation
from clinical_qkt.research.benchmark.sub_types import read_sub_types
from clinical_qkt.research.methods.requested import requested

CLASSES = {
    "cell one": ["early", "late", ""],
    "cell two": ["cell two"],
    "cell three": ["x", "y"],
    "four": ["four"],
}
EACH = 20


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise, in a folder a class, with a file that tells sub-types in turn; of a third of one class none."""
    folder = tmp_path_factory.mktemp("cells")
    rng, rows = np.random.default_rng(0), []
    for name, kinds in CLASSES.items():
        place = folder / name.replace(" ", "_")
        place.mkdir()
        for i in range(EACH * len(kinds)):
            Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(place / f"{i}.png")
            rows.append({"image": f"{place.name}/{i}.png", "label": name, "subtype": kinds[i % len(kinds)]})
    write(folder, rows)
    return folder


def write(folder, rows):
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["image", "label", "subtype"])
        table.writeheader()
        table.writerows(rows)


@pytest.fixture(scope="module")
def made(pictures, tmp_path_factory):
    """Four sites with untrained models; a site's list is not made of what it was trained on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_networks, "train", lambda network, *_, **__: network)
        patch.setattr(Federation, "_held_out", lambda *_: None)
        source = open_source(pictures, 0)
        scenario = Scenario(name="x", sites=4, classes_per_site=[3], max_epochs=1, label_lists="finer")
        found = Federation(source, scenario, 4, torch.device("cpu"), tmp_path_factory.mktemp("sites"),
                           sub_types=read_sub_types(pictures, source))  # fmt: skip
        found.probed = [
            Teacher(m, {}, torch.ones(len(m.card.label_space)), [True] * len(m.card.label_space))
            for m in found.models
        ]
        yield found


def test_every_second_site_lists_sub_types_and_the_others_whole_classes(made):
    classes = made.source.classes.names
    finer = {"early", "late", "x", "y", "cell_two", "four"}
    for site, model in enumerate(made.models):
        assert set(model.card.labels.names) == (finer if site % 2 else set(classes))
        assert all(type(label) is ClassLabel for label in model.card.label_space)


def test_images_of_one_class_are_labelled_as_each_site_lists_them(made):
    subtypes = np.array(made.label_lists.names)[made.label_lists.shown]
    for site, member in zip([0, 1, 2, 3], [made._members(s)[0] for s in range(4)], strict=True):
        names = member.model.card.labels.names
        for item in member.training:
            told, name = subtypes[item["position"]], names[item["label"]]
            kind = made.source.classes.names[made.source.labels[item["position"]]]
            assert name == (told if site % 2 else kind)
        mine = made.positions[site]["training"]
        untold = [i for i in mine if subtypes[i] == "cell_one"]
        known = len(mine) - (len(untold) if site % 2 else 0)
        assert len(member.training) == len(made._training(site)) == known


def test_students_list_whole_classes_and_declare_what_they_merge(made):
    asks = made.queries(100)
    assert asks and {ask.student for ask in asks} == {0, 2}
    for ask in asks:
        case = made.case(ask)
        merged = {c.name: [p.name for p in c.merges] for c in case.labels if c.merges}
        assert merged == {n: m for n, m in {"cell_one": ["early", "late"], "cell_three": ["x", "y"]}.items()
                          if n in case.labels.names}  # fmt: skip
        finer = [t for t in case.teachers if t.site in ("hospital_2", "hospital_4")]
        assert all(t.merges for t in finer if merged) and len(finer) == 2
        assert {int(i["label"]) for i in made.test_items(ask)} == set(range(len(case.labels)))


def test_a_committee_adds_up_the_parts_and_a_query_is_answered_with_all_of_them(made):
    first = made.source.classes.names.index("cell_one")
    ask = next(ask for ask in made.queries(100) if any(first in made.classes[s] for s in (1, 3))
               and first in ask.classes)  # fmt: skip
    case = made.case(ask)
    joined = committee(case.own, case.teachers, case.labels).network
    assert isinstance(joined, Committee)
    column = case.labels.names.index("cell_one")
    assert max(seat.columns.count(column) for seat in joined.spec.members) == 2
    found = requested(case, None, views="one").sites[0]
    for site in (1, 3):
        if first in made.classes[site]:
            mine = [i for i in made.positions[site]["training"] if made.label_lists.names[
                made.label_lists.shown[i]] in ("early", "late")]  # fmt: skip
            assert len(found[f"hospital_{site + 1}"]) == len(mine) > 0


def test_masks_are_held_against_what_a_site_lists_of_its_own(made):
    for site, row in enumerate(mask_scores(made)):
        known = [n for n, t in zip(made.lists[site].names, row["truth"], strict=True) if t]
        assert known == made.label_lists.own(site).names


def test_without_sub_types_such_lists_are_refused(npz, tmp_path):
    with pytest.raises(InputError, match="no sub-types"):
        Federation(open_source(npz, 0), Scenario(name="x", sites=3, label_lists="finer"), 1,
                   torch.device("cpu"), tmp_path)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[:-1], "tells no 'four'"),
        (lambda rows: [{**rows[0], "label": "four"}, *rows[1:]], "tells no 'cell_one'"),
        (lambda rows: [{**row, "subtype": row["label"]} for row in rows], "no class with several"),
        (lambda rows: [{**row, "subtype": "x"} if row["subtype"] == "late" else row for row in rows],
         "are the same class"),
        (lambda _: [], "has not the columns image, label, subtype"),
    ],
)  # fmt: skip
def test_a_file_that_tells_something_else_than_the_folder_is_refused(pictures, tmp_path, change, says):
    with (pictures / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for path in pictures.iterdir():
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path)
    write(tmp_path, change(rows))
    source = open_source(pictures, 0)
    source.images = [tmp_path / p.relative_to(pictures) for p in source.images]
    with pytest.raises(InputError, match=says):
        read_sub_types(tmp_path, source)
    with pytest.raises(InputError, match="cannot be read"):
        read_sub_types(tmp_path / "cell_one", source)


def test_earlier_scenarios_keep_their_names_and_several_may_ask():
    told = Scenario(name="x").model_dump()
    assert told["label_lists"] == "alike" and "student" not in told
    assert Scenario(name="x", student=["hospital_1", "hospital_8"]).model_dump()["student"][1] == "hospital_8"
    with pytest.raises(ValueError, match="there is no 'hospital_9' among 8 sites"):
        Scenario(name="x", student=["hospital_1", "hospital_9"])
