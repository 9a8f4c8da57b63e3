"""Assessment packages, good ones and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.packages import signing
from clinical_qkt.packages.assessment import (
    AssessmentCard,
    ClassAssessment,
    OtherImages,
    load_assessment,
    once_each,
    save_assessment,
)
from clinical_qkt.packages.key_files import new_key
from clinical_qkt.packages.trust import Trust
from clinical_qkt.packages.verify import verify
from clinical_qkt.packages.writer import CARD
from tests.conftest import reseal, run

MODEL = "a" * 64


def card(**changes: Any) -> AssessmentCard:
    told = ClassAssessment(label={"name": "basophil"}, images=95, patients=40, recall=97, called=5)
    declined = ClassAssessment(label={"name": "mast"}, declined="fewer than 20", called=0)
    about = {
        "site": "hospital_b", "task": "t", "model_sha256": MODEL, "model_card_sha256": "b" * 64,
        "rounding": 5, "classes": [told, declined], "others": OtherImages(images=300, patients=80),
    }  # fmt: skip
    return AssessmentCard(**(about | changes))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    save_assessment(tmp_path / "a", card())
    return tmp_path / "a"


def test_what_is_written_is_read_again(package):
    found = load_assessment(package, model_sha256=MODEL, gained=["basophil", "mast"])
    assert found.card.classes == card().classes and found.card.tells and found.bytes < 4000
    assert verify(package, None).card == found.card


def test_the_command_line_knows_the_kind(package, capsys):
    assert run("package", "verify", str(package), "--unsigned") == 0
    assert run("package", "show", str(package)) == 0
    assert "basophil" in capsys.readouterr().out
    assert run("package", "diff", str(package), str(package)) == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"recall": 101}, "recall"),
        ({"recall": None}, "either images and recall"),
        ({"images": 93}, "no multiple"),
        ({"patients": 100}, "more than there are images"),
        ({"called": 310}, "more images than there are"),
        ({"called": -5}, "called"),
        ({"declined": "no"}, "either images and recall"),
        ({"extra": 1}, "extra"),
    ],
)
def test_an_assessment_that_contradicts_itself_is_refused(package, change, told):
    raw = json.loads((package / CARD).read_text())
    raw["classes"][0] |= change
    (package / CARD).write_text(json.dumps(raw))
    reseal(package, AssessmentCard.TENSORS)
    with pytest.raises(PackageError, match=told):
        load_assessment(package)


def test_false_alarms_without_images_and_classes_that_are_the_same_are_refused():
    with pytest.raises(ValidationError, match="false alarms are told"):
        card(others=None)
    with pytest.raises((ValidationError, InputError), match="the same class"):
        card(classes=[card().classes[0], card().classes[0]])


def test_a_tensor_does_not_belong_into_the_package(package):
    save_file({"patient": torch.zeros(3)}, package / AssessmentCard.TENSORS)
    reseal(package, AssessmentCard.TENSORS)
    with pytest.raises(PackageError, match="'patient' does not belong"):
        load_assessment(package)


def test_an_assessment_of_another_model_or_of_other_classes_is_refused(package):
    with pytest.raises(PackageError, match="another model") as e:
        load_assessment(package, model_sha256="c" * 64)
    assert "single precision" in e.value.fix
    with pytest.raises(PackageError, match="other classes"):
        load_assessment(package, model_sha256=MODEL, gained=["basophil"])


def test_whose_it_is_the_signature_proves(package, tmp_path):
    private, public, _ = new_key("hospital_b", tmp_path)
    trust = Trust({"hospital_b": public})
    with pytest.raises(PackageError, match="is not signed"):
        load_assessment(package, trust)
    signing.sign(package, private)
    assert load_assessment(package, trust).signed.state == "trusted"
    (package / CARD).write_text((package / CARD).read_text().replace('"recall": 97', '"recall": 99'))
    with pytest.raises(PackageError):
        load_assessment(package, trust)


def test_a_site_is_heard_once(package):
    one = load_assessment(package)
    assert once_each([one]) == [one]
    with pytest.raises(PackageError, match="a second assessment of the site 'hospital_b'"):
        once_each([one, one])
