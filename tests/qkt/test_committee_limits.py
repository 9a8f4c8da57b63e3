"""A committee that nobody could read is refused before anything is probed."""

from __future__ import annotations

import pytest
import yaml

from clinical_qkt import bundle
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import CardedNetwork
from clinical_qkt.qkt import committee_limits, transfer
from clinical_qkt.qkt.committee_limits import require_room
from tests.conftest import CONFIGS


@pytest.fixture(scope="module")
def own() -> CardedNetwork:
    spec = preset("resnet_small", 3, [28, 28])
    network, given = spec.build(3), InputContract(channels=3, spatial_size=[28, 28])
    about = {"site": "us", "task": "t", "label_space": ["a", "b", "c"], "network": spec, "input": given}
    return CardedNetwork(network, Card(head=find_head(network), **about))


@pytest.mark.parametrize(
    ("others", "rows", "classes", "told"),
    [
        (128, 3, 3, "of 129 models over 3 classes is too large"),
        (1, 3, 513, "of 2 models over 513 classes is too large"),
        (1, 9000, 3, "is too large: 9,000 rows of heads, at most 8,192 can be"),
    ],
)
def test_too_many_models_classes_or_rows_are_refused(own, others, rows, classes, told):
    with pytest.raises(InputError, match=told) as e:
        require_room(own, [own] * others, rows, classes)
    assert "list fewer than 128" in e.value.fix
    require_room(own, [own], 6, 3)


def test_models_that_are_too_deep_or_too_heavy_together_are_refused(own, monkeypatch):
    deep, other = own.card.network.blocks, CardedNetwork(own.card.network.build(3), own.card)
    monkeypatch.setattr(committee_limits, "MOST_BLOCKS", 2 * deep - 1)
    with pytest.raises(InputError, match=f"is too deep: {2 * deep} blocks, at most {2 * deep - 1} can be"):
        require_room(own, [other], 6, 3)
    require_room(own, [own], 6, 3)  # one body, which there is once
    monkeypatch.undo()
    monkeypatch.setattr(committee_limits, "MAX_TENSOR_BYTES", 2_000_000)
    with pytest.raises(InputError, match="3 MB of weights, at most 2 MB can be"):
        require_room(own, [other], 6, 3)
    require_room(own, [own], 6, 3)


def test_a_transfer_refuses_before_it_probes(demo, tmp_path, monkeypatch):
    file = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" in p.read_text())
    assert yaml.safe_load(file.read_text())["teachers"]
    monkeypatch.setattr(committee_limits, "MAX_MEMBERS", 2)
    probed: list[str] = []
    monkeypatch.setattr(transfer, "probe", lambda model, **how: probed.append(model.site))
    where = {"transfer_dir": str(tmp_path / "t"), "mlflow": f"sqlite:///{tmp_path}/m.db"}
    with pytest.raises(InputError, match="a committee of 3 models over 4 classes is too large"):
        bundle.run([CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", file], **where)
    assert not probed
