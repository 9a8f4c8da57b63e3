"""What networks say of images that they were not fitted to is kept by folds, and belongs to one model."""

from __future__ import annotations

import stat
from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_qkt.training.own_folds import FILE, MadeOf, by_folds, made_of, read, write

FOLDS = np.array([1, 0, 2, 0, 1, 2])
OF = MadeOf("a" * 64, "images", "3")


def test_each_image_is_told_of_by_the_training_without_it_in_the_images_order(tmp_path):
    def said(fold: int, others: list[int], mine: list[int]) -> torch.Tensor:
        assert sorted(others + mine) == list(range(6))
        return torch.tensor([[10.0 * fold + i, len(others)] for i in mine])

    logits = by_folds(FOLDS, said, tmp_path)

    assert logits.tolist() == [[10, 4], [1, 4], [22, 4], [3, 4], [14, 4], [25, 4]]


def test_a_fold_that_is_finished_is_not_trained_again_after_a_crash(tmp_path):
    trained: list[int] = []

    def said(fold: int, _: list[int], mine: list[int]) -> torch.Tensor:
        if fold == 1 and trained == [0]:
            trained.append(-1)
            raise RuntimeError("the power is gone")
        trained.append(fold)
        return torch.full((len(mine), 2), float(fold))

    with pytest.raises(RuntimeError, match="power"):
        by_folds(FOLDS, said, tmp_path)
    logits = by_folds(FOLDS, said, tmp_path)

    assert trained == [0, -1, 1, 2]
    assert logits[:, 0].tolist() == FOLDS.tolist()


@pytest.mark.parametrize("other", [{"weights_sha256": "b" * 64}, {"images": "others"}, {"folds": "5"}])
def test_logits_are_read_for_the_model_images_and_folds_that_they_were_made_of_and_no_others(tmp_path, other):
    logits = torch.randn(6, 2)
    write(tmp_path / FILE, logits, OF)

    kept = read(tmp_path / FILE, OF)

    assert kept is not None and torch.equal(kept, logits)
    assert read(tmp_path / FILE, replace(OF, **other)) is None
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600  # a row for each patient's image


def test_a_file_that_is_not_there_or_not_whole_tells_nothing(tmp_path):
    write(tmp_path / FILE, torch.randn(6, 2), OF)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:40])

    assert made_of(tmp_path / "nothing") is None
    assert read(tmp_path / FILE, OF) is None
