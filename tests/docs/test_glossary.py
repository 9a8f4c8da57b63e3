"""Each word of the glossary names a module that is there, and a key that configs know."""

from __future__ import annotations

import re

import pytest
import yaml

from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.query.request import QuerySettings
from tests.conftest import CONFIGS, ROOT

PAGE = (ROOT / "docs/reference/glossary.md").read_text()
ROWS = re.findall(r"^\| (?!word|---)(.+?) \| .+ \| `(.+?)` \| (?:`(.+?)` )?\|$", PAGE, re.M)
KEYS = {key.lstrip("+") for path in CONFIGS.glob("*.yaml") for key in yaml.safe_load(path.read_text())}
SETTINGS = {*TransferSettings.model_fields, *QuerySettings.model_fields}


def test_modules_and_keys_are_there():
    assert len(ROWS) == len([row for row in PAGE.splitlines() if re.match(r"\| (?!word|---)", row)]) > 50
    assert not [module for _, module, _ in ROWS if not (ROOT / "clinical_qkt" / module).is_file()]
    keys = {key for _, _, key in ROWS if key}
    assert {key for key in keys if "::" not in key} <= KEYS
    assert {key.removeprefix("settings::") for key in keys if "::" in key} <= SETTINGS


def test_no_word_stands_there_twice():
    words = [word for row in ROWS for word in row[0].split(", ")]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.stem)
def test_modules_that_a_page_names_are_there(page):
    named = set(re.findall(r"`(?:clinical_qkt/)?([\w/]+\.py)`", page.read_text()))
    assert not [n for n in named if not (ROOT / "clinical_qkt" / n).is_file() and not (ROOT / n).is_file()]
