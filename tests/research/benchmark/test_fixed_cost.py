"""What a part calls of another counts for that, and every function with a clock is there."""

from __future__ import annotations

import importlib

from clinical_qkt.research.benchmark.fixed_cost import PARTS, Clock


def test_each_second_counts_for_the_innermost_part():
    times = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    clock = Clock(lambda: next(times))
    inner = clock.around("inner", lambda: "said")
    assert clock.around("outer", lambda: inner())() == "said"
    clock.turn()
    assert clock.seconds == {"": 1.0 + 5.0, "outer": 2.0 + 4.0, "inner": 3.0}


def test_each_function_that_gets_a_clock_is_there():
    for module, name in [pair for functions in PARTS.values() for pair in functions]:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found)
