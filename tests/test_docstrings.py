"""The examples in docstrings are right; and every pure function of the method's mathematics has one."""

from __future__ import annotations

import ast
import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "clinical_qkt"
SHOWN = [p for p in sorted(PACKAGE.rglob("*.py")) if ">>>" in p.read_text()]
PURE = (
    *("qkt/losses.py", "qkt/forgetting_budget.py", "qkt/knowledge_masks.py", "networks/joint_opinion.py"),
    *("evidence/*.py", "statistics/*.py", "privacy/*.py"),
)
"""Modules of functions from numbers to numbers."""
NOT_NUMBERS = re.compile(r"\b(Module|Model|DerivedModel|Images|Path)\b")
"""What takes one of these needs more than a line or two to be shown; so does a decorator."""
NO_EXAMPLE = {"decision", "heard", "on_own_images", "without_notes"}
"""The last keeps quiet; the others take parts of a summary, see tests/evidence/test_criteria.py."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SHOWN, ids=name_of)
def test_the_examples_are_right(path):
    found = doctest.testmod(import_module(name_of(path)))
    assert not found.failed and found.attempted


@pytest.mark.parametrize("path", [p for pattern in PURE for p in sorted(PACKAGE.glob(pattern))], ids=name_of)
def test_a_pure_function_is_shown_by_an_example(path):
    functions = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
    pure = [f for f in functions if f.name[0] != "_" and not _is_more_than_numbers(f)]
    assert {f.name for f in pure if ">>>" not in (ast.get_docstring(f) or "")} <= NO_EXAMPLE


def _is_more_than_numbers(function: ast.FunctionDef) -> bool:
    gives = ast.unparse(function.returns) if function.returns else ""
    return bool(NOT_NUMBERS.search(ast.unparse(function.args))) or gives.startswith("Callable")
