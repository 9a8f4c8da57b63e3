"""What a site says of looks in its training reaches the training, its checkpoints and its audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from monai.transforms import RandFlipd, RandRotate90d

from clinical_qkt.audit.shadows import Recipe
from clinical_qkt.bundle.loading import unfinished
from clinical_qkt.bundle.stage import Stage
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.look_augmentation import SIZES, RandLookd
from clinical_qkt.networks.mix_style import mixes_images
from clinical_qkt.networks.spec import preset
from clinical_qkt.site.launch import plan
from tests.conftest import CONFIGS

FACTS = ("classes", "input", "architecture", "max_epochs", "batch_size", "learning_rate")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "data.json").write_text("{}")
    values = {
        "site": "us", "data": str(tmp_path / "data.json"), "classes": ["a", "b"],
        "output_dir": str(tmp_path / "out"),
    }  # fmt: skip
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "site.yaml"


def stage(site: Path, *words: str, name: str = "train") -> Stage:
    return Stage(plan(name, site, words, bundle="blood_cell_classification"))


def test_images_get_looks_in_training_alone_and_only_where_the_site_says_so(site):
    def kinds(there: Stage, section: str) -> list[Any]:
        return [type(t) for t in there.value(f"{section}::preprocessing").transforms]

    plain, strong = stage(site), stage(site, "--look_augmentation", "strong")
    assert kinds(strong, "train") == [*kinds(plain, "train"), RandLookd]
    assert RandLookd not in kinds(strong, "validate")
    assert [type(t) for t in strong.value("augment")] == [RandFlipd, RandRotate90d]  # of transfers, too
    (looks,) = strong.value("looks")
    assert looks.sizes == SIZES["strong"] and looks.contract == strong.value("contract")


def test_a_network_mixes_styles_only_where_somebody_says_so(site):
    assert not mixes_images(stage(site).value("network"))
    assert mixes_images(stage(site, "--mix_style", "true").value("network"))


def test_checkpoints_of_one_way_to_train_are_none_of_another(site):
    plain = stage(site)
    before = unfinished(plain.site, "train", *(plain.value(key) for key in FACTS))
    assert plain.value("unfinished") == before  # as they were named before there were looks
    others = [
        stage(site, *words.split()).value("unfinished")
        for words in ("--look_augmentation mild", "--look_augmentation strong", "--mix_style true")
    ]
    assert len({before, *others}) == 4


def test_a_misspelt_look_is_refused_by_name(site):
    with pytest.raises(InputError, match="look_augmentation: must be 'none', 'mild' or 'strong'"):
        stage(site, "--look_augmentation", "medium")


def test_shadow_models_of_other_looks_are_not_taken_for_these(site):
    network = preset("resnet_small", 3, [28, 28])
    facts = [
        Recipe(
            network, 8, 64, 0.003, stage(site, *words, name="share").worked_out("@augment + @looks")
        ).facts()
        for words in ((), ("--look_augmentation", "mild"), ("--look_augmentation", "strong"))
    ]
    assert facts[0]["augment"] == ["RandFlipd", "RandRotate90d"]
    assert len({str(f) for f in facts}) == 3
    assert Recipe(network, 8, 64, 0.003, mix_style=True).facts() != Recipe(network, 8, 64, 0.003).facts()


def test_a_share_tells_its_audit_how_the_model_was_trained():
    told = yaml.safe_load((CONFIGS / "share.yaml").read_text())["run"][0]
    assert "@augment + @looks" in told and "@mix_style)" in told
