"""What ``inference`` writes."""

from __future__ import annotations

import csv
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clinical_qkt import bundle
from clinical_qkt.bundle import predictions
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence.gate import Door
from clinical_qkt.evidence.gate_file import write_gate
from clinical_qkt.evidence.pictures import Pictures, numbers_of

NAMES = LabelSpace(["a", "b"])
IMAGES = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def door() -> Door:
    return Door("max_logit", 1.0, Pictures.of(numbers_of(IMAGES), np.repeat([0, 1], 30)))


def written(tmp_path, gate: Door | None, *batches: tuple[torch.Tensor, torch.Tensor]) -> list[dict[str, str]]:
    count = sum(len(images) for images, _ in batches)
    writer = predictions.PredictionWriter(tmp_path / "p.csv", [f"{i}.png" for i in range(count)], NAMES, gate)
    for images, logits in batches:
        writer.collect(SimpleNamespace(state=SimpleNamespace(output={"image": images, "pred": logits})))
    writer.write(None)
    with (tmp_path / "p.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def test_images_that_look_like_no_class_or_unlike_the_own_ones_are_told_and_counted(tmp_path, capfd):
    sure, unsure = torch.tensor([[3.0, 0.0]] * 2), torch.tensor([[0.2, 0.5]])
    rows = written(tmp_path, door(), (IMAGES[:2], sure), (IMAGES[2:3], unsure), (IMAGES[3:5] + 50, sure))
    assert [r["none_of_these"] for r in rows] == ["no", "no", "yes", "yes", "yes"]
    assert [r["class"] for r in rows] == ["a", "a", "b", "a", "a"]
    said = " ".join(capfd.readouterr().out.split())
    assert "3 of 5 images look like none of the model's classes" in said and "(none of these)" in said


def test_without_a_gate_nothing_is_claimed(tmp_path, capfd):
    rows = written(tmp_path, None, (IMAGES[:1], torch.tensor([[3.0, 0.0]])))
    assert list(rows[0]) == ["file", "class", "probability of a", "probability of b"]
    assert "is called one of these all the same" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(("digest", "wrong"), [("a" * 64, False), ("b" * 64, True)])
def test_a_gate_counts_for_the_model_that_it_was_made_for_alone(tmp_path, capfd, digest, wrong):
    write_gate(tmp_path / "model", door(), "a" * 64)
    model = SimpleNamespace(folder=tmp_path / "model", card=SimpleNamespace(weights_sha256=digest))
    items = [{"image": "x/1.png"}]
    if wrong:
        with pytest.raises(SystemExit, match="2"):
            bundle.save_predictions(tmp_path / "p.csv", items, NAMES, model)
        assert "gate.json: belongs to another model" in capfd.readouterr().err
    else:
        assert bundle.save_predictions(tmp_path / "p.csv", items, NAMES, model).door == door()


def test_no_name_becomes_a_formula_in_a_spreadsheet(tmp_path, capfd):
    files = ["=HYPERLINK(x).png", "+1.png", "-1.png", "@a.png", "ok.png", "a;=1+1.png", "＝1.png"]
    writer = predictions.PredictionWriter(tmp_path / "p.csv", files, LabelSpace(["@a", "=b"]))
    output = {"pred": torch.tensor([[3.0, 0.0], [0.0, 3.0]] * 4)[: len(files)]}
    writer.collect(SimpleNamespace(state=SimpleNamespace(output=output)))
    writer.write(None)
    with (tmp_path / "p.csv").open(newline="") as f:
        heads, *rows = csv.reader(f)
    cells = [cell for row in [heads, *rows] for whole in row for cell in re.split("[;,\t]", whole)]
    assert not [c for c in cells if c.startswith(("=", "+", "-", "@", "＝"))]
    assert [row[0] for row in rows][4] == "ok.png" and rows[0][1] == "'@a"
