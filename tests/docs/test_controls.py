"""The page for those who sign: every test, command, key, default and clause that it names is there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer
import yaml

from clinical_qkt.bundle.stage_keys import StageKeys
from clinical_qkt.cli.app import app
from clinical_qkt.core.shipped_bundles import bundle_folder, stages
from clinical_qkt.prepare.identifiers import KEYWORDS
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import keys_of
from clinical_qkt.site.policy import Policy
from tests.conftest import ROOT
from tests.documented import mentions

TEXT = (ROOT / "docs/explanation/controls.md").read_text(encoding="utf-8")
BUNDLE = bundle_folder("blood_cell_classification")
HEADING = ["control", "who holds it", "what shows it", "what it does not do", "answers"]
CLAUSE = r"\b(?:\d\.\d\.\d\d|E\.\d+(?:\.\d+)?)\b"


def table(section: str) -> list[list[str]]:
    """The cells of a section's table, its heading first."""
    lines = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if set("".join(row)) - set("- ")]


def controls() -> list[list[str]]:
    """One row a control, its number first, without the rows that head a group."""
    rows = [re.match(r"\*\*(\d+)\.\*\* ", row[0]) and row for row in table("The controls")[1:]]
    return [[*row[0].removeprefix("**").split(".** ", 1), *row[1:]] for row in rows if row]


def rows_named(cell: str) -> set[int]:
    """Numbers of controls, single and from one to another."""
    found: set[int] = set()
    for first, last in re.findall(r"(?<![.\d])(\d+)(?: to (\d+))?(?![.\d])", cell):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_control_has_its_columns_and_a_number():
    assert table("The controls")[0] == HEADING
    assert [row[0] for row in controls()] == [str(k + 1) for k in range(len(controls()))]
    for row in controls():
        assert len(row) == 1 + len(HEADING) and all(row[1:5]), row[0]


@pytest.mark.parametrize("row", controls(), ids=lambda row: row[0])
def test_what_shows_a_control_is_there(row):
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3])
    assert tests, "a command alone shows nothing of this version"
    for file, test in tests:
        assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
    assert not re.findall(r"`tests/[^`]*`", re.sub(r"`tests/[\w/]+\.py::\w+`", "", row[3]))


@pytest.mark.parametrize("command", [c for c in mentions(TEXT) if c.startswith("clinical-qkt ")])
def test_every_command_with_its_options_is_there(command):
    found: Any = typer.main.get_command(app)
    words = command.split()[1:]
    while words and words[0] in getattr(found, "commands", {}):
        found, words = found.commands[words[0]], words[1:]
    assert not hasattr(found, "commands"), command
    known = {o for p in found.params for o in (*p.opts, *p.secondary_opts)}
    assert {w for w in words if w.startswith("--")} <= known, command


def test_every_key_that_is_named_is_one_and_every_default_is_the_default():
    fields = {**Site.model_fields, **Policy.model_fields, **StageKeys.model_fields}
    keys = {key for stage in stages(BUNDLE) for key in keys_of(stage, BUNDLE)}
    held = {k for row in controls() for k in re.findall(r"`(\w+)`", row[2])}
    assert held <= {*fields, *keys, *stages(BUNDLE)}, held - {*fields, *keys}
    policy = Policy()
    told = re.findall(r"`(\w+): ([^`]+)`", " ".join(row[1] for row in controls()))
    assert len(told) > 5
    for key, value in told:
        assert getattr(policy, key) == type(getattr(policy, key))(yaml.safe_load(value)), key


def test_the_clauses_of_the_table_are_told_below_with_the_same_rows():
    named: dict[str, set[int]] = {}
    for row in controls():
        for clause in re.findall(CLAUSE, row[5]):
            named.setdefault(clause, set()).add(int(row[0]))
    satre = {re.findall(CLAUSE, row[0])[0]: rows_named(row[2]) for row in table("What SATRE asks")[1:]}
    assert satre.items() >= {c: rows for c, rows in named.items() if c[0].isdigit()}.items()
    dicom = {re.findall(CLAUSE, row[0])[0]: row[2] for row in table("What DICOM PS3.15 asks")[1:]}
    for clause, rows in named.items():
        if clause.startswith("E."):
            assert rows <= rows_named(dicom[clause]), clause


def test_rows_that_are_referred_to_are_there():
    referred = {n for told in re.findall(r"\(rows? [^)]+\)", TEXT) for n in rows_named(told)}
    assert referred and max(referred) <= len(controls())


def test_the_number_of_attributes_is_that_of_the_list():
    assert f"{len(KEYWORDS)} identifying attributes" in TEXT
