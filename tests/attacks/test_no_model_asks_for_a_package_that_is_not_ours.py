"""Promise: no registered model makes MLflow install something under a name that anybody could take."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mlflow import pyfunc

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import NetworkSpec, find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import save_model
from clinical_qkt.review.tracking import registry

pytestmark = (
    pytest.mark.slow
)  # tests/review/tracking/test_sync.py looks at a model of the registry at no cost
SPEC = NetworkSpec(
    name="DenseNet121", spatial_dims=2, in_channels=1,
    args={"init_features": 2, "growth_rate": 1, "block_config": [1]},
)  # fmt: skip


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as it goes to the registry."""
    root, network = tmp_path_factory.mktemp("logged"), SPEC.build(2)
    about = {
        "network": SPEC,
        "head": find_head(network),
        "input": InputContract(channels=1, spatial_size=[8, 8]),
    }
    card = save_model(root / "m", network, Card(site="a", task="t", label_space=["a", "b"], **about))
    registry.save(card, root / "m", root / "logged")
    return root / "logged"


def test_what_is_installed_for_it_is_what_the_public_index_has(logged):
    wanted = (logged / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in wanted} == {
        "mlflow",
        "monai",
        "numpy",
        "safetensors",
        "torch",
    }
    assert not any("+" in line for line in wanted)  # the index has no builds of one machine's own


def test_no_file_of_it_names_this_software_as_something_to_install(logged):
    for name in ("requirements.txt", "conda.yaml", "python_env.yaml"):
        told = (logged / name).read_text().lower().replace("_", "-")
        assert "clinical-qkt" not in told, name


def test_it_says_what_it_needs_and_holds_no_code(logged):
    said = yaml.safe_load((logged / "MLmodel").read_text())
    assert "clinical-qkt" in said["metadata"]["needs"] and said["metadata"]["licence"]
    assert said["flavors"]["python_function"].get("code") is None
    assert not [p for p in logged.rglob("*") if p.suffix in (".py", ".whl", ".pkl")]


def test_where_this_software_is_it_is_loaded(logged):
    given = pyfunc.load_model(str(logged)).input_example
    assert pyfunc.load_model(str(logged)).predict(given).shape == (1, 2)
