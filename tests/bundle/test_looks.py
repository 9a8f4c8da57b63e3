"""How a site's training images look: measured in ``train``, told in ``share`` by the site's choice."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.bundle import looks
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.look_map import LookMap
from clinical_qkt.data.transforms import reading
from clinical_qkt.privacy.statement import DifferentialPrivacy, PrivacyStatement

GIVEN = InputContract(channels=3, spatial_size=[20, 20])
LABELS = LabelSpace(["many", "few"])
DP = DifferentialPrivacy(epsilon=8, delta=1e-5, unit="patient", noise_multiplier=1, max_grad_norm=1)


def site(fewest=5, **choices):
    about = {"tell_looks": True, "mask_epsilon": None} | choices
    return SimpleNamespace(classes=LABELS.classes, policy=SimpleNamespace(minimum_patients=fewest), **about)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twenty-four images of one class and four of the other, of a patient each."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    items = []
    for i in range(28):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
        items.append({"image": str(path), "label": int(i >= 24)})
    sections = {"training": items, "validation": [], "test": []}
    return CheckedData(
        "d", False, LABELS, sections, patients={item["image"]: item["image"] for item in items}
    )


def card(data, **about):
    found = looks.measured(site(), data, reading("display"), GIVEN)
    facts = {"looks": found, "privacy": PrivacyStatement(), "input": GIVEN, "network": None} | about
    return SimpleNamespace(**facts)


def test_a_class_of_too_few_patients_is_not_measured_and_counts_are_coarse(data):
    found = looks.measured(site(), data, reading("display"), GIVEN)
    assert [(c.label.name, c.count) for c in found.classes] == [("many", 20)]
    assert found.obstacle(GIVEN) is None
    assert looks.measured(site(fewest=25), data, reading("display"), GIVEN) is None


def test_several_images_of_a_patient_count_as_one(data):
    one = dict.fromkeys(data.patients, "somebody")
    same = CheckedData("d", False, LABELS, data.items, patients=one)
    assert looks.measured(site(fewest=2), same, reading("display"), GIVEN) is None


def test_a_site_tells_them_unless_it_says_no_and_less_if_its_policy_asks_for_more_patients(data):
    made = card(data)
    assert looks.told(site(), made) == made.looks
    assert looks.told(site(tell_looks=False), made) is None
    assert looks.told(site(fewest=30), made) is None


@pytest.mark.parametrize(
    ("choices", "about", "why"),
    [
        ({}, {"privacy": PrivacyStatement(training=DP)}, "protects each patient"),
        ({"mask_epsilon": 1.0}, {}, "the mask tells the classes with noise"),
    ],
)
def test_where_exact_numbers_would_undo_a_protection_they_are_not_told_and_it_is_said(
    data, capsys, choices, about, why
):
    assert looks.told(site(**choices), card(data, **about)) is None
    assert why in capsys.readouterr().err


def test_a_model_that_maps_from_the_sites_look_is_not_shared_against_its_word(data):
    numbers = torch.full((15,), 0.1)
    mapped = GIVEN.model_copy(update={"look": LookMap.between(numbers, numbers)})
    looks.require_told(site(), card(data, input=mapped))
    looks.require_told(site(tell_looks=False), card(data))
    with pytest.raises(InputError, match="brings images from this site's look"):
        looks.require_told(site(tell_looks=False), card(data, input=mapped))
