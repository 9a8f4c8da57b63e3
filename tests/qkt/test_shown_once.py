"""A transfer shows each test image to the new network once, and a second one to the own network not again."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt import bundle
from clinical_qkt.bundle.stage import Stage
from clinical_qkt.networks.committee import Committee
from clinical_qkt.packages.model import load_model
from clinical_qkt.qkt import images
from clinical_qkt.qkt.images import OwnImages
from clinical_qkt.site.launch import plan
from tests.conftest import CONFIGS
from tests.qkt.test_transfer import student_of


@pytest.fixture
def a_test_image(demo) -> torch.Tensor:
    stage = Stage(plan("transfer", student_of(demo)[0], (), bundle="blood_cell_classification"))
    own = load_model(stage.value("model"), stage.site.trust)
    shown = OwnImages(stage.value("labelled"), stage.value("read"), own, torch.device("cpu"), lambda _: None)
    shown.timed = lambda _: torch.no_grad()
    return torch.as_tensor(shown.prepared("test", own.card.input)[0]["image"])


def test_each_test_image_is_shown_once(demo, a_test_image, tmp_path, monkeypatch):
    seen, asked = [], []
    true, logits_of = Committee.forward, images.logits_of

    def counted(self, shown):
        seen.extend(torch.equal(image, a_test_image) for image in shown)
        return true(self, shown)

    def of_one_model(network, shown, *args, **how):
        asked.append(len(shown))
        return logits_of(network, shown, *args, **how)

    monkeypatch.setattr(Committee, "forward", counted)
    monkeypatch.setattr(images, "logits_of", of_one_model)
    where = {"mlflow": f"sqlite:///{tmp_path}/m.db"}
    file = student_of(demo)[0]
    for again in (False, True):
        asked.clear(), seen.clear()
        files = [CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", file]
        bundle.run(files, transfer_dir=str(tmp_path / "t"), overwrite=again, **where)
        assert sum(seen) == 1
    assert not asked  # the own model's and the teachers' logits were kept
