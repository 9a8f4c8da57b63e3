"""What several private answers promise together; without torch, so that looking at a ledger is quick."""

from __future__ import annotations

from collections.abc import Sequence


def composed_epsilon(noise_multipliers: Sequence[float], delta: float) -> float:
    """The epsilon of several releases together, at ``delta``; dp-accounting's.

    All of them may have touched the same patient: that is assumed, whatever their classes.
    """
    if not noise_multipliers:
        return 0.0
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    events = [dp_accounting.GaussianDpEvent(m) for m in noise_multipliers]
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    accountant.compose(dp_accounting.ComposedDpEvent(events))
    return float(accountant.get_epsilon(delta))
