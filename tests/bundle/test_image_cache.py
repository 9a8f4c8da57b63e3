"""A stage obeys ``image_cache``: the model is the same wherever images lie, and none of them stays behind."""

from __future__ import annotations

import pytest

from clinical_qkt import bundle
from clinical_qkt.data import on_disk
from clinical_qkt.packages.model import load_model
from tests.conftest import CONFIGS


@pytest.fixture
def writes(monkeypatch) -> list[str]:
    """Names of the images that are written to disk."""
    written: list[str] = []
    whole = on_disk.write_whole
    monkeypatch.setattr(
        on_disk, "write_whole", lambda path, *a, **k: (written.append(path.name), whole(path, *a, **k))
    )
    return written


def test_a_model_is_the_same_to_the_last_bit_wherever_its_images_were_kept(demo, tmp_path, writes):
    site = demo / "sites" / "hospital_2.yaml"
    weights = {}
    for how in ("auto", "disk", "kept", "kept"):
        folder, before = tmp_path / how, len(writes)
        place = {"output_dir": str(folder), "mlflow": f"sqlite:///{tmp_path / 'm.db'}", "overwrite": True}
        bundle.run([CONFIGS / "train.yaml", site], **place, image_cache=how, max_epochs=1)
        again = how in weights
        weights[how] = load_model(folder / "model").card.weights_sha256
        assert (len(writes) > before) == (how != "auto" and not again)
        assert (folder / "unfinished").exists() == (how == "kept")
    assert len(set(weights.values())) == 1
