"""What may pass between a site and the relay."""

from __future__ import annotations

import pytest

from clinical_qkt.exchange.carriers.flare.fence import Fence
from clinical_qkt.exchange.carriers.flare.messages import (
    Offer,
    Order,
    Parcel,
    Piece,
    Report,
    Want,
    read,
    written,
)
from tests.exchange.carriers.flare.parcels import A, B, C, bytes_of

NAME = "a" * 64
WHOLE = bytes_of(A, B, 5_000)


def piece(
    data: bytes = WHOLE[:3_000], offset: int = 0, sender: str = A, receiver: str = B, name: str = NAME
) -> Piece:
    return Piece(sender=sender, receiver=receiver, name=name, size=len(WHOLE), offset=offset, data=data)


def passed(*pieces: Piece, site: str = A) -> list[Piece]:
    fence = Fence(site)
    return [p for one in pieces for p in fence.going(Report(pieces=[one])).pieces]


def test_pieces_of_an_own_sealed_parcel_go_out_in_their_order_and_again():
    first, second = piece(), piece(WHOLE[3_000:], 3_000)
    assert passed(first, second, second, first) == [first, second, second, first]


def test_pieces_for_this_site_come_in():
    first, second = piece(), piece(WHOLE[3_000:], 3_000)
    fence = Fence(B)
    assert fence.coming(Order(tell=False, take=[first])).take == [first]
    assert fence.coming(Order(tell=False, take=[second])).take == [second]


def flipped(at: int) -> bytes:
    start = bytearray(WHOLE[:3_000])
    start[at] ^= 1
    return bytes(start)


@pytest.mark.parametrize(
    "wrong",
    [
        [piece(b"label,patient\n" * 10)],
        [piece(WHOLE[3_000:], 3_000)],  # its envelope was not seen
        [piece(), piece(WHOLE[3_100:], 3_100)],  # a gap, in which anything could stand
        [piece(name="b" * 64), piece(WHOLE[3_000:], 3_000)],
        [piece(receiver=C)],  # the envelope names hospital_b
        [piece(flipped(3))],
        [piece(flipped(bytes_of(A, B).index(b"hospital_b") + 9))],
        [piece(b"x" * 3_000, offset=3_000)],
    ],
)
def test_what_is_no_fitting_piece_of_a_sealed_parcel_does_not_go_out(wrong):
    assert passed(*wrong) == wrong[:-1]


def test_a_piece_may_not_reach_beyond_its_parcel():
    assert passed(piece(), piece(bytes(2_500), 3_000)) == [piece()]


def test_nothing_of_another_site_goes_out_and_nothing_for_another_comes_in():
    other = Parcel(sender=C, receiver=C, name=NAME)
    order = Order(
        tell=True, take=[piece()], want=[Want(**other.model_dump(), offset=0, length=1)], arrived=[other]
    )
    assert Fence(A).coming(order) == Order(tell=True)
    report = Report(
        pieces=[piece()], offers=[Offer(**other.model_dump(), size=1)], kept=[other], refused=[other]
    )
    assert Fence(B).going(report) == Report()


@pytest.mark.parametrize(
    "values",
    [
        None,
        {"tell": True, "note": "a patient's name"},
        {"tell": "yes"},
        {"tell": True, "take": [{**piece().model_dump(), "data": "text"}]},
        {
            "tell": True,
            "want": [{"sender": A, "receiver": B, "name": "../" * 21 + "x", "offset": 0, "length": 1}],
        },
        {"tell": True, "want": [{"sender": A, "receiver": "..", "name": NAME, "offset": 0, "length": 1}]},
        {"tell": True, "want": [{"sender": A, "receiver": B, "name": NAME, "offset": -1, "length": 1}]},
        {"tell": True, "arrived": [{"sender": A, "receiver": B, "name": NAME}] * 5_000},
    ],
)
def test_an_order_of_another_form_is_none(values):
    assert read(Order, values) is None


def test_what_is_written_is_read_as_it_was():
    order = Order(tell=False, take=[piece()], arrived=[Parcel(sender=A, receiver=B, name=NAME)])
    assert read(Order, written(order)) == order
