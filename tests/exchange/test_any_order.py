"""Killed at any of the desk's changes, and swept in any order: the end is the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_qkt.exchange.store import Store
from tests.exchange.world import World


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """Ends the process at one of the desk's changes."""

    def __init__(self, patch: pytest.MonkeyPatch, after: int, *, before_it: bool) -> None:
        self.left, self.before = after, before_it
        change = Store.change

        @contextmanager
        def mortal(store: Store) -> Iterator[object]:
            self.left -= 1
            if self.left == 0 and self.before:
                raise Killed
            with change(store) as db:
                yield db
            if self.left == 0:
                raise Killed

        patch.setattr(Store, "change", mortal)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.tuples(st.integers(1, 25), st.booleans()), min_size=1, max_size=3), data=st.data())
def test_killed_at_any_moment_and_in_any_order_the_end_is_the_same(kills, data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("world")
        world = World(root, patch)
        world.write("north", exchange={"automatic": {"askers": ["ask"]}})
        world.ask()
        for after, before_it in kills:
            order = data.draw(st.permutations(["ask", "north", "south", "north", "ask"]))
            with patch.context() as mortal, pytest.raises((Killed, StopIteration)):
                Mortal(mortal, after, before_it=before_it)
                world.sweep(*order)
                raise StopIteration
        world.settle()
        world.settle()
        assert world.outcome("north") == "answered" and world.outcome("south") == "taken"
        assert world.answered == {"north": 1}
        assert len(world.desk("north").store.of("out", "reply")) == 1
        assert not list(world.desk("north").place("in").glob(".*"))
        assert not [p for s in ("ask", "north", "south") for p in world.parcels(s)]
        shutil.rmtree(root)
