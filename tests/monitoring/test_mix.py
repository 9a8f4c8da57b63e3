"""Is a reference thinned to the class mix of new images?"""

import numpy as np

from clinical_qkt.monitoring.mix import LEAST_KEPT, estimated_mix, thinned


def labelled(counts, errors, seed):
    """True classes, and calls that are wrong in a share of images."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    wrong = rng.random(len(truth)) < errors
    return truth, np.where(wrong, rng.integers(0, len(counts), len(truth)), truth)


def test_the_mix_is_found_though_the_model_errs():
    truth, called = labelled([300, 300, 300], 0.4, 1)
    _, new = labelled([1600, 300, 100], 0.4, 2)
    assert np.abs(estimated_mix(truth, called, new) - [0.8, 0.15, 0.05]).max() < 0.06
    assert np.abs(np.bincount(new) / len(new) - [0.8, 0.15, 0.05]).max() > 0.1


def test_a_class_that_the_reference_does_not_show_gets_no_share():
    truth, called = labelled([100, 100], 0.1, 1)
    assert estimated_mix(truth, called, np.array([0, 1, 2, 2]))[2] == 0


def test_the_thinned_reference_has_the_mix_and_keeps_some_of_each_class():
    truth = np.repeat([0, 1, 2], [100, 200, 300])
    kept = np.bincount(truth[thinned(truth, np.array([0.5, 0.49, 0.01]), np.random.default_rng(0))])
    assert kept.tolist() == [100, 98, 300 * LEAST_KEPT]
