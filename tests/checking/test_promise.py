"""Whether the forgetting budget's promise can be shown is told before a transfer, and by which images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clinical_qkt.checking import promise
from clinical_qkt.qkt import own_held_out
from clinical_qkt.site.config import check_site
from clinical_qkt.training import own_folds

CARD = SimpleNamespace(weights_sha256="0" * 64, privacy=SimpleNamespace(training=None))


@pytest.fixture
def listed(tmp_path):
    """A site with a list of so many images of each class in each section, which are not there."""

    def made(images: dict[str, int], patients: int | None = None, **values: Any) -> Any:
        def entry(section: str, name: str, i: int) -> dict[str, str]:
            whose = {} if patients is None else {"patient": f"{section}-{name}-{i % patients}"}
            return {"image": f"{section}-{name}-{i}.png", "label": name, **whose}

        sections = {
            s: [entry(s, name, i) for name, n in images.items() for i in range(n)]
            for s in ("training", "validation")
        }
        content = {"schema": "clinical-qkt/datalist/1", "name": "animals", "test": [], **sections}
        (tmp_path / "d.json").write_text(json.dumps(content))
        folders = {f"{name}_dir": str(tmp_path / name) for name in ("output", "package", "query", "transfer")}
        own = {"site": "us", "data": str(tmp_path / "d.json"), "classes": ["ape", "bee"], "query": ["cat"]}
        return check_site({**own, **folders, "ledger": str(tmp_path / "l.db"), **values}, "s.yaml")

    return made


def found(site: Any, card: Any = CARD, command: str = "transfer", **settings: Any) -> list[Any]:
    """What is told of a stage of this site."""
    stage = SimpleNamespace(
        command=command, site=site, model=lambda: SimpleNamespace(card=card), value=lambda _: settings
    )
    return list(promise.findings(stage))


def with_folds(site: Any) -> Any:
    """What networks by folds said of the training images lies beside the model."""
    of = own_held_out.made_of(site, CARD, promise.listed(site))
    site.output_dir.mkdir(exist_ok=True)
    own_folds.write(site.output_dir / own_folds.FILE, torch.zeros(2, 2), of)
    return site


def test_with_enough_images_the_promise_can_be_shown_and_both_kinds_are_counted(listed):
    held_out, told = found(with_folds(listed({"ape": 30, "bee": 40, "cat": 3})))
    assert held_out.state == told.state == "ok"
    assert held_out.told == "validation images, and training images by folds"
    assert (
        "can be shown: at most 2 points lost on average and 5 by a class, at a confidence of 75" in told.told
    )
    assert "'ape' has fewest held-out images, 60 (" in told.told


def test_with_too_few_the_class_is_named_and_how_many_would_do(listed):
    _, told = found(with_folds(listed({"ape": 300, "bee": 5})))
    assert told.state == "warning" and "cannot be shown" in told.told and "'bee' has fewest" in told.told
    enough = int(told.fix.split(" ")[0])
    assert found(with_folds(listed({"ape": enough // 2 + 1, "bee": enough // 2 + 1})))[1].state == "ok"


def test_images_of_one_patient_count_about_once(listed):
    assert found(with_folds(listed({"ape": 40, "bee": 40})))[1].state == "ok"
    _, told = found(with_folds(listed({"ape": 40, "bee": 40}, patients=4)))
    assert told.state == "warning" and int(told.told.split("images, ")[1].split(" ")[0]) < 10


def test_a_budget_of_nothing_cannot_be_shown_by_any_number_of_images(listed):
    _, told = found(with_folds(listed({"ape": 40, "bee": 40}, forgetting_budget=0)))
    assert told.state == "warning" and told.told.endswith("no number of images can show that")


def test_what_networks_by_folds_say_is_missed_with_what_to_do(listed):
    site = listed({"ape": 30, "bee": 30})
    held_out, told = found(site)
    assert held_out.state == "warning" and "missing" in held_out.told and "`train` again" in held_out.fix
    assert told.state == "warning" and "images, 30 " in told.told
    with_folds(site)
    assert found(site)[0].state == "ok"
    assert found(listed({"ape": 31, "bee": 30}))[0].state == "warning"  # that of another list


@pytest.mark.parametrize(
    ("values", "settings", "training", "why"),
    [
        ({"held_out_folds": 0}, {}, None, "'held_out_folds' is 0"),
        ({}, {"max_epochs": 1, "variant": "paper"}, None, "'paper' is fitted to all training images"),
        ({}, {}, "a guarantee", "differential privacy"),
    ],
)
def test_why_validation_images_alone_are_held_out_is_told(listed, values, settings, training, why):
    card = SimpleNamespace(weights_sha256="0" * 64, privacy=SimpleNamespace(training=training))
    held_out, told = found(listed({"ape": 60, "bee": 60}, **values), card, **settings)
    assert held_out.state == "ok" and held_out.told.startswith("validation images alone: ")
    assert why in held_out.told and "images, 60 " in told.told


def test_folds_that_cannot_be_made_are_no_reason_to_train_again(listed):
    held_out, _ = found(listed({"ape": 40, "bee": 40}, patients=1))
    assert held_out.state == "ok" and "'ape'" in held_out.told and not held_out.fix


def test_only_a_transfer_spends_a_budget_and_a_list_that_cannot_be_read_is_told_elsewhere(listed):
    site = listed({"ape": 40, "bee": 40})
    assert found(site, command="train") == []
    Path(site.data).write_text("{")
    assert found(site) == []
