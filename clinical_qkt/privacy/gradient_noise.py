"""How much noise a training needs for a promise, by opacus' PRV accountant (Gopi et al., NeurIPS 2021)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from opacus.accountants.utils import get_noise_multiplier

from clinical_qkt.core.errors import InputError


@lru_cache
def noise_multiplier(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The least noise that suffices, over the clipping norm.

    Rounded up to two digits: with all of them a card would tell the number of patients.

    Raises:
        InputError: none suffices.

    >>> noise_multiplier(8.0, 1e-5, sample_rate=0.5, steps=4)
    0.9
    """
    try:
        with without_notes():
            exact = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant="prv",
                epsilon_tolerance=epsilon / 50,
                eps_error=epsilon / 100,
            )
    except ValueError:
        raise InputError(f"no noise gives {epsilon}", where="epsilon", fix="allow more") from None
    unit = 10.0 ** (math.floor(math.log10(exact)) - 1)
    return round(math.ceil(exact / unit) * unit, 9)


@contextmanager
def without_notes() -> Iterator[None]:
    """Without opacus' notes on the orders that its first, coarse bound tries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
