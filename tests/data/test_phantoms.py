import numpy as np
import pytest

from clinical_qkt.data import phantoms


@pytest.mark.parametrize("kind", phantoms.RECIPES)
def test_each_kind_is_drawn_and_varies(kind):
    a, b = (phantoms.draw_cell(kind, np.random.default_rng(s)) for s in (0, 1))
    assert a.shape == (phantoms.SIZE, phantoms.SIZE, 3) and a.dtype == np.uint8
    assert a.std() > 5 and not np.array_equal(a, b)


def test_the_same_seed_draws_the_same_pictures():
    a, b = phantoms.phantom_source(5, seed=3), phantoms.phantom_source(5, seed=3)
    assert np.array_equal(a.images, b.images) and a.generated
    assert not np.array_equal(a.images, phantoms.phantom_source(5, seed=4).images)


def test_splits_are_a_partition_with_every_class_in_each():
    source = phantoms.phantom_source(20)
    assert sorted(np.concatenate(list(source.splits.values())).tolist()) == list(range(160))
    for positions in source.splits.values():
        assert set(source.labels[positions]) == set(range(8))


def test_examples_are_written(tmp_path):
    assert len({p.name for p in phantoms.write_examples(tmp_path)}) == 8
