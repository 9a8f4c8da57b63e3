"""What cards tell of pretrained weights: a closed entry a file, kept in every model that is made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.packages.derived import derived
from clinical_qkt.packages.inspect import print_card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.packages.pretrained import MOST, PretrainedWeights, joined
from clinical_qkt.packages.writer import CARD
from tests.packages.test_model import change_card, package  # noqa: F401

ONE = PretrainedWeights(sha256="a" * 64, name="lite0", source="ImageNet", licence="Apache-2.0")
TWO = PretrainedWeights(sha256="b" * 64)


@pytest.fixture
def started(package: Path) -> Path:  # noqa: F811
    model = load_model(package)
    save_model(package, model.network, model.card.model_copy(update={"pretrained": [ONE]}))
    return package


def test_a_card_keeps_what_a_file_says_and_a_card_without_it_is_as_it_was(started):
    told = json.loads((started / CARD).read_text())
    assert told["pretrained"] == [ONE.model_dump()] and load_model(started).card.pretrained == [ONE]

    model = load_model(started)
    save_model(started, model.network, model.card.model_copy(update={"pretrained": []}))
    assert "pretrained" not in json.loads((started / CARD).read_text())  # as earlier versions wrote it
    assert load_model(started).card.pretrained == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "a"}, {"licence": "x" * 501}, {"licence": ""}, {"source": "x" * 501}, {"name": "x" * 201},
        {"more": "x"}, {"trained_layers": "some"}, {"name": 3}, {"source": "$import os"}, {"name": "a\nb"},
    ],
)  # fmt: skip
def test_an_entry_that_is_not_as_it_has_to_be_is_refused(started, wrong):
    change_card(started, pretrained=[ONE.model_dump() | wrong])
    with pytest.raises(PackageError, match="pretrained"):
        load_model(started)


def test_a_card_takes_so_many_entries_and_no_more(started):
    change_card(started, pretrained=[ONE.model_dump()] * (MOST + 1))
    with pytest.raises(PackageError, match="pretrained"):
        load_model(started)


def test_a_model_made_of_several_names_the_weights_of_all_each_once(started):
    model = load_model(started)
    other = model.card.model_copy(update={"site": "hospital_b", "pretrained": [TWO, ONE]})
    made = derived(model.card, model.network, [model.card, other])
    assert made.card.pretrained == [ONE, TWO]


def test_more_weights_than_a_card_takes_are_told(started):
    many = [TWO.model_copy(update={"name": str(i)}) for i in range(MOST + 1)]
    with pytest.raises(InputError, match=f"started from {MOST + 1} files of weights; a card takes {MOST}"):
        joined([many])


def test_what_is_unknown_is_shown_as_unknown(started, capsys):
    model = load_model(started)
    shown = replace(model, card=model.card.model_copy(update={"pretrained": [ONE, TWO]}))
    print_card(Console(width=200), shown.card)
    told = capsys.readouterr().out
    rows: dict[str, Any] = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in told.splitlines() if "│" in line
    }
    assert rows["pretrained.0.licence"] == "Apache-2.0" and rows["pretrained.0.source"] == "ImageNet"
    assert rows["pretrained.1.licence"] == rows["pretrained.1.source"] == "unknown"


def test_unknown_is_the_word_and_nothing_is_guessed():
    assert (TWO.name, TWO.source, TWO.licence) == ("unknown",) * 3
    with pytest.raises(ValidationError):
        PretrainedWeights(sha256="c" * 64, licence=None)  # type: ignore[arg-type]
