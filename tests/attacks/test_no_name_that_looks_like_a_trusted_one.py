"""Promise: beside a site whose key is held, nobody passes under a name that looks like that site's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clinical_qkt.core.errors import PackageError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import NetworkSpec, find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.packages.signing import Trust, new_key
from clinical_qkt.packages.writer import CARD
from tests.conftest import reseal

SPEC = NetworkSpec(
    name="DenseNet121", spatial_dims=2, in_channels=1,
    args={"init_features": 2, "growth_rate": 1, "block_config": [1]},
)  # fmt: skip
NETWORK = SPEC.build(2)


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """Of a site that holds one key and takes what nobody vouches for as well."""
    return Trust({"clinic_1": new_key("clinic_1", tmp_path / "keys")[1]}, accept_untrusted=True)


def package(folder: Path, site: str, key: Path | None = None) -> Path:
    given = InputContract(channels=1, spatial_size=[8, 8])
    about = {"network": SPEC, "head": find_head(NETWORK), "input": given}
    save_model(folder, NETWORK, Card(site="x", task="t", label_space=["a", "b"], **about))
    told = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(told | {"site": site}))
    reseal(folder, key=key)
    return folder


ALIKE = [
    "Clinic_1",
    "CLINIC-1",
    "clinic1",
    "clinic_l",
    "clinic_I",
    "c1inic_1",
    "cIinic.1",
    "clinic__1",
    "cliniC1",
]
OTHER_LETTERS = ["сlinic_1", "clinic\u200b_1", "clinic_１", "clinic_1 ", "clınic_1", "clinic\u00ad_1"]


@pytest.mark.parametrize(("name", "signed"), [*((name, False) for name in ALIKE), (ALIKE[0], True)])
def test_a_name_that_looks_like_a_trusted_one_is_refused_though_all_are_accepted(
    name, signed, trust, tmp_path
):
    key = new_key("stranger", tmp_path)[0] if signed else None
    with pytest.raises(PackageError, match="which looks like 'clinic_1' and is another name"):
        load_model(package(tmp_path / "p", name, key), trust)


@pytest.mark.parametrize("name", OTHER_LETTERS)
def test_letters_of_other_alphabets_and_such_without_a_width_stand_in_no_name(name, trust, tmp_path):
    with pytest.raises(PackageError, match=r"card\.json"):
        load_model(package(tmp_path / "p", name), trust)


@pytest.mark.parametrize("name", ["clinic_2", "clinic_11", "clinic_d", "clinics_1"])
def test_another_name_is_taken_where_all_are_accepted(name, trust, tmp_path):
    assert load_model(package(tmp_path / "p", name), trust).signed.state == "unsigned"


def test_two_that_look_alike_are_both_taken_once_both_keys_are_held(trust, tmp_path):
    key, public, _ = new_key("clinic_l", tmp_path)
    both = Trust({**trust.keys, "clinic_l": public})
    assert load_model(package(tmp_path / "p", "clinic_l", key), both).signed.state == "trusted"


def test_nobody_passes_under_a_name_that_looks_like_ones_own(tmp_path):
    with pytest.raises(PackageError, match="looks like 'clinic_1'"):
        load_model(package(tmp_path / "p", "clinic_I"), Trust(accept_untrusted=True, site="clinic_1"))
