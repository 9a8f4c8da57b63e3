"""What a sweep does, without FLARE: spools on disk, the fences between, any message lost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.exchange.carriers.flare.messages import Offer, Piece, Report
from clinical_qkt.exchange.carriers.flare.rounds import Sweep
from tests.exchange.carriers.flare.parcels import A, B, C, bytes_of, come, put, spool, sweep, waiting


@pytest.fixture
def spools(tmp_path):
    return {site: spool(tmp_path / site, site) for site in (A, B, C)}


def folders(spools):
    return {site: place.folder for site, place in spools.items()}


def test_parcels_of_all_come_to_their_receivers_unchanged_and_leave_the_sender(spools):
    at = folders(spools)
    sent = {
        put(at[s], s, r, size): bytes_of(s, r, size) for s, r, size in ((A, B, 10), (A, C, 9_000), (B, A, 70))
    }
    rounds = sweep(spools)
    assert {**come(at[A]), **come(at[B]), **come(at[C])} == sent
    assert not any(waiting(place) for place in at.values())
    assert len(rounds) == 4  # tell, give, take, arrived


def test_a_sweep_with_nothing_to_carry_is_one_round(spools):
    assert len(sweep(spools)) == 1


def test_a_large_parcel_goes_in_pieces_and_the_relay_holds_no_more_than_two(spools):
    at = folders(spools)
    put(at[A], A, B, 60_000)
    rounds = sweep(spools, sweep=Sweep([A, B, C], piece=8_000))
    assert come(at[B]) and len(rounds) == 1 + 8 + 1 + 1
    assert all(sum(len(p.data) for o in r.values() for p in o.take) <= 8_000 for r in rounds)


def test_small_parcels_share_a_round_and_do_not_wait_for_large_ones(spools):
    at = folders(spools)
    put(at[A], A, B, 30_000)
    small = {put(at[A], A, B, 500, seed) for seed in range(5)}
    rounds = sweep(spools, sweep=Sweep([A, B, C], piece=8_000))
    assert small == {p.name for p in rounds[2][B].take}


def test_the_relay_asks_for_no_more_bytes_in_a_round_than_it_may_hold(spools):
    at = folders(spools)
    for sender, receiver in ((A, B), (B, C), (C, A)):
        put(at[sender], sender, receiver, 20_000)
    rounds = sweep(spools, sweep=Sweep([A, B, C], piece=8_000, most_held=9_000))
    assert max(sum(w.length for o in r.values() for w in o.want) for r in rounds) <= 9_000
    assert all(come(place) for place in at.values())


def test_a_silent_site_is_asked_once_and_keeps_nobody_else_back(spools):
    at = folders(spools)
    here, there = put(at[A], A, B), put(at[A], A, C)
    rounds = sweep(spools, lambda _, site, report: None if site == C else report)
    assert [C in r for r in rounds] == [True, False, False, False]
    assert set(come(at[B])) == {here} and waiting(at[A]) == {there}
    sweep(spools)
    assert set(come(at[C])) == {there} and not waiting(at[A])


def test_a_parcel_stays_until_its_receivers_acknowledgement_was_heard(spools):
    at = folders(spools)
    name = put(at[A], A, B)
    sweep(spools, lambda number, site, report: None if site == B and number == 3 else report)
    assert waiting(at[A]) == {name} and set(come(at[B])) == {name}  # whole there, and nobody heard of it
    sweep(spools)
    assert not waiting(at[A]) and set(come(at[B])) == {name}


def test_a_parcel_for_somebody_who_takes_no_part_stays_where_it_is(spools):
    at = folders(spools)
    name = put(at[A], A, "hospital_z")
    assert len(sweep(spools)) == 1 and waiting(at[A]) == {name}


@pytest.mark.parametrize("at", [3, 60, -1])  # the first line, the envelope, what is sealed
def test_a_parcel_that_was_changed_on_its_way_is_not_kept_and_the_others_are(spools, at):
    folder = folders(spools)
    bad, good, other = put(folder[A], A, B, 10), put(folder[A], A, B, 3_000), put(folder[C], C, B)

    def changed(_, __, report):
        pieces = [
            p.model_copy(update={"data": flipped(p.data, at)}) if p.name == bad else p for p in report.pieces
        ]
        return report.model_copy(update={"pieces": pieces})

    sweep(spools, changed)
    assert set(come(folder[B])) == {good, other} and waiting(folder[A]) == {bad}
    sweep(spools)
    assert set(come(folder[B])) == {bad, good, other} and not waiting(folder[A])


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def test_a_relay_that_gives_a_parcel_to_somebody_else_gives_nothing(spools):
    folder = folders(spools)
    name = put(folder[A], A, B)

    def astray(_, __, report):
        pieces = [p.model_copy(update={"receiver": C}) for p in report.pieces]
        offers = [o.model_copy(update={"receiver": C}) for o in report.offers]
        return report.model_copy(update={"pieces": pieces, "offers": offers})

    class Astray(Sweep):
        """Asks for what lies there for hospital_b, and passes it on to hospital_c."""

        def _wants(self):
            return {
                site: [w.model_copy(update={"receiver": B}) for w in wants]
                for site, wants in super()._wants().items()
            }

    assert any(
        order.take for given in sweep(spools, astray, sweep=Astray([A, B, C])) for order in given.values()
    )
    assert not come(folder[B]) and not come(folder[C]) and waiting(folder[A]) == {name}


def test_a_closed_sweep_asks_for_no_more_pieces():
    state = Sweep([A, B])
    state.orders()
    state.heard({A: Report(offers=[offer()]), B: Report()})
    state.close()
    assert state.orders() == {}


def offer(size: int = 100) -> Offer:
    return Offer(sender=A, receiver=B, name="0" * 64, size=size)


def asked(size: int = 100) -> Sweep:
    """A sweep that has asked hospital_a for a piece."""
    state = Sweep([A, B, C])
    state.orders()
    state.heard({A: Report(offers=[offer(size)]), B: Report(), C: Report()})
    assert state.orders()[A].want
    return state


def piece(**changed) -> Piece:
    values = {"sender": A, "receiver": B, "name": "0" * 64, "size": 100, "offset": 0, "data": bytes(100)}
    return Piece(**(values | changed))


def test_a_piece_that_was_asked_for_goes_on():
    state = asked()
    state.heard({A: Report(pieces=[piece()])})
    assert state.orders()[B].take == [piece()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": C},
        {"name": "1" * 64},
        {"receiver": C},
        {"size": 101},
        {"offset": 1},
        {"data": bytes(99)},
    ],
)
def test_a_piece_that_nobody_asked_for_goes_nowhere(wrong):
    state = asked()
    state.heard({A: Report(pieces=[piece(**wrong)])})
    assert state.orders() == {}


def test_no_site_speaks_for_another():
    state = asked()
    state.heard({C: Report(pieces=[piece()], kept=[piece_of()], offers=[offer()]), A: Report()})
    assert state.orders() == {}


def piece_of():
    return Offer(sender=A, receiver=B, name="0" * 64, size=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_whatever_is_lost_in_sweeps_that_fail_nothing_is_lost_and_the_next_good_sweep_ends_it(
    tmp_path_factory, seed
):
    chance, base = random.Random(seed), tmp_path_factory.mktemp("spools")
    spools = {site: spool(base / site, site) for site in (A, B, C)}
    at, sent = folders(spools), {}
    for number in range(chance.randint(1, 6)):
        sender, receiver = chance.sample([A, B, C], 2)
        size = chance.choice([10, 3_000, 20_000])
        sent[put(at[sender], sender, receiver, size, number)] = bytes_of(sender, receiver, size, number)
    lost = chance.random()
    for _ in range(chance.randint(1, 4)):
        failing = Sweep([A, B, C], piece=6_000)
        sweep(spools, lambda _, __, report: None if chance.random() < lost / 2 else report, sweep=failing)
        left = {n for place in at.values() for n in waiting(place)}
        assert left | {n for place in at.values() for n in come(place)} == set(sent)
    sweep(spools, sweep=Sweep([A, B, C], piece=6_000))
    assert {n: b for place in at.values() for n, b in come(place).items()} == sent
    assert not any(waiting(place) for place in at.values())
    assert not list(base.rglob("*.part"))
