"""The command ``align``, and the page that shows it."""

from __future__ import annotations

import io
import re
import textwrap
from typing import Any

import pytest
import yaml
from rich.console import Console

from clinical_qkt.cli.align import print_alignment, run_align
from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.data.label_space import Alignment, ClassLabel, LabelSpace, SiteClass, align
from clinical_qkt.data.wholes import SiteList
from clinical_qkt.site.config import SiteLabels, read_part
from tests.conftest import ROOT, run, site_file
from tests.launcher import launch
from tests.qkt.test_teachers import package


def coded(name: str, code: str) -> ClassLabel:
    return ClassLabel(name=name, system="s", code=code)


# The command


ANYBODY = {"untrusted_packages": "accept"}
CLASSES = [
    {"name": "granulocyte", "merges": ["neutrophil", "eosinophil"]},
    {"name": "monocyte", "synonyms": ["mono"]},
]


def test_the_command_prints_every_class_and_ends_well(tmp_path, capfd):
    site = site_file(
        tmp_path, classes=CLASSES, query=["platelet", "blast"], settings={"anything": 1}, **ANYBODY
    )
    folder = package(tmp_path, "b", ["neutrophil", "[bold]mono", "Platelet", "mono"])
    assert run("align", str(site), str(folder)) == 0
    shown = capfd.readouterr().out
    assert "b: 3 of 4 classes aligned" in shown and "part of it" in shown and "[bold]mono" in shown
    assert "It has none of: blast" in shown and "Asked for, and in none of these lists: blast" in shown


def test_the_command_shows_everything_before_it_refuses_what_is_ambiguous(tmp_path, capfd):
    site = site_file(tmp_path, classes=CLASSES, **ANYBODY)
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
        ("[a, b]", "holds no 'key: value' lines"),
        ("classes: [", "is no YAML file"),
        ("query: [a]", "classes: "),
        ("classes: [a, {name: b, synonym: [a]}]", r"classes\.1\.synonym"),
        ("classes: [a, {name: b, synonyms: [A]}]", "'a' and 'b' overlap"),
        ("{classes: [{name: a, merges: [q]}], query: [q]}", "query: 'a' and 'q' overlap: both mean 'q'"),
    ],
)
def test_a_site_whose_classes_make_no_sense_is_refused(tmp_path, content, says):
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(InputError, match=says):
        read_part(tmp_path / "s.yaml", SiteLabels)


def test_codes_are_shown_where_there_are_any():
    console = Console(record=True, width=100, file=io.StringIO())
    print_alignment(console, "b", Alignment(LabelSpace([coded("x", "7")]), LabelSpace([coded("x", "8")])))
    shown = console.export_text()
    assert "x (7)" in shown and "same name, other code" in shown and "It has none of: x" in shown


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
    declared, *rest, wholes = blocks
    (tmp_path / "SITE.yaml").write_text(f"{declared}\nuntrusted_packages: accept\n")
    for site, classes in LISTS.items():
        package(tmp_path / "packages", site, classes)
    said = yaml.safe_load(wholes)
    asked = SiteList(said["classes"], [SiteClass.model_validate(w) for w in said["wholes"]])
    assert asked.places(ClassLabel(name="Immature granulocyte")) == (0, 1, 2)
    assert len(rest) == 4 and all(rest[i].startswith("clinical-qkt align ") for i in (0, 2))
    for command, shown, code in ((rest[0], rest[1], 0), (rest[2], rest[3], 2)):
        done = launch("clinical_qkt", *command.split()[1:], cwd=tmp_path)
        assert done.returncode == code
        printed = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
        assert [p for p in printed if p] == [line for line in shown.splitlines() if line]
    # and what it advises for the ambiguous list is the remedy
    either = SiteClass.model_validate({"name": "monocyte of any kind", "merges": ["mono", "monocyte"]})
    assert align(LabelSpace(LISTS["hospital_d"]), LabelSpace([either, "platelet"])) == {0: 1, 1: 0, 2: 0}
