"""A site's two folders, as a sweep reads and writes them."""

from __future__ import annotations

import hashlib

import pytest

from clinical_qkt.exchange.carriers.flare import spool as module
from clinical_qkt.exchange.carriers.flare.messages import Order, Parcel, Piece, Want
from clinical_qkt.exchange.carriers.flare.spool import carry_out
from tests.exchange.carriers.flare.parcels import A, B, C, bytes_of, come, put, spool, waiting

WHOLE = bytes_of(A, B, 5_000)
NAME = hashlib.sha256(WHOLE).hexdigest()
OTHER = bytes_of(A, B, 5_000, seed=1)


def piece(begin: int = 0, end: int | None = None, whole: bytes = WHOLE, sender: str = A) -> Piece:
    name = hashlib.sha256(whole).hexdigest()
    return Piece(sender=sender, receiver=B, name=name, size=len(whole), offset=begin, data=whole[begin:end])


@pytest.fixture
def there(tmp_path):
    return spool(tmp_path, B)


def test_it_offers_whole_parcels_of_its_own_the_smallest_first(tmp_path):
    names = [put(tmp_path, A, B, size) for size in (9_000, 10)]
    put(tmp_path, A, C, 500)
    out = tmp_path / "out" / B
    (out / f"{'b' * 64}.parcel.part").write_bytes(WHOLE)  # half written
    (out / "notes.parcel").write_bytes(WHOLE)
    (out / f"{'c' * 64}.parcel").write_bytes(b"no parcel")
    (out / f"{'d' * 64}.parcel").write_bytes(bytes_of(C, B))  # sealed by somebody else
    (out / f"{'e' * 64}.parcel").write_bytes(bytes_of(A, C))  # for somebody else
    (out / f"{'f' * 64}.parcel").symlink_to(out / f"{names[0]}.parcel")
    (tmp_path / "out" / "a note.txt").write_text("")
    offers = spool(tmp_path, A).offers()
    assert [(o.receiver, o.name) for o in offers if o.receiver == B] == [(B, names[1]), (B, names[0])]
    assert len(offers) == 3 and all(o.sender == A for o in offers)


def test_it_gives_the_piece_that_is_wanted_and_nothing_else(tmp_path):
    name, here = put(tmp_path, A, B, 5_000), spool(tmp_path, A)
    want = Want(sender=A, receiver=B, name=name, offset=100, length=50)
    content = bytes_of(A, B, 5_000)
    assert here.give(want) == Piece(
        sender=A, receiver=B, name=name, size=len(content), offset=100, data=content[100:150]
    )
    for wrong in ({"name": "0" * 64}, {"offset": len(content)}, {"receiver": C}, {"sender": B}):
        assert here.give(want.model_copy(update=wrong)) is None


def test_a_parcel_appears_when_it_is_whole_and_not_before(there, tmp_path):
    assert there.take(piece(0, 3_000)) is None
    assert not come(tmp_path)
    assert there.take(piece(3_000)) is True
    assert come(tmp_path) == {NAME: WHOLE} and not list(tmp_path.rglob("*.part"))
    assert (tmp_path / "in" / f"{NAME}.parcel").stat().st_mode & 0o077 == 0


def test_what_came_again_changes_nothing(there, tmp_path):
    for part in (piece(0, 3_000), piece(0, 3_000), piece(2_000, 4_000), piece(4_000), piece(4_000), piece()):
        there.take(part)
    assert come(tmp_path) == {NAME: WHOLE}
    assert there.take(piece()) is True
    assert there.take(piece().model_copy(update={"sender": C})) is False  # who did not seal it
    assert come(tmp_path) == {NAME: WHOLE}


def test_a_piece_that_does_not_go_on_where_the_last_one_ended_is_refused(there, tmp_path):
    assert there.take(piece(3_000)) is False
    assert there.take(piece(0, 1_000)) is None
    assert there.take(piece(3_000)) is False
    assert not come(tmp_path)


def test_a_parcel_for_somebody_else_or_of_somebody_else_or_none_at_all_is_not_kept(there, tmp_path):
    for wrong in (bytes_of(A, C), bytes_of(C, B), b"no parcel" * 100):
        assert there.take(piece(whole=wrong)) is False
    flipped = piece().model_copy(update={"data": WHOLE[:-1] + bytes([WHOLE[-1] ^ 1])})
    assert there.take(flipped) is False
    assert there.take(piece(whole=OTHER).model_copy(update={"name": NAME})) is False  # under another's name
    assert not list((tmp_path / "in").iterdir())


def test_too_large_a_parcel_and_one_beyond_the_quota_are_refused_before_anything_is_written(tmp_path):
    small = spool(tmp_path, B, largest=4_000)
    assert small.take(piece(0, 1_000)) is False
    full = spool(tmp_path, B, quota=9_000)
    assert full.take(piece()) is True
    assert full.take(piece(0, 1_000, OTHER)) is False
    (tmp_path / "in" / f"{NAME}.parcel").unlink()  # the desk took it
    assert full.take(piece(0, 1_000, OTHER)) is None
    assert (
        full.take(piece(0, 1_000, bytes_of(A, B, 5_000, seed=2))) is False
    )  # room was promised to the first
    assert not come(tmp_path)


def test_a_full_disk_refuses_one_parcel_and_takes_the_next(there, tmp_path, monkeypatch):
    write, other = module._write, bytes_of(C, B)

    def full(part, given):
        if given.sender == A:
            raise OSError(28, "No space left on device")
        write(part, given)

    monkeypatch.setattr(module, "_write", full)
    report = carry_out(Order(tell=False, take=[piece(), piece(whole=other, sender=C)]), there)
    assert [r.name for r in report.refused] == [NAME] and [k.name for k in report.kept] == [
        came := piece(whole=other).name
    ]
    assert come(tmp_path) == {came: other}


def test_what_arrived_leaves_and_what_was_never_here_harms_nothing(tmp_path):
    name, here = put(tmp_path, A, B), spool(tmp_path, A)
    kept = put(tmp_path, A, B, 7)
    for sender, receiver in ((A, B), (A, C), (C, B)):
        here.arrived(Parcel(sender=sender, receiver=receiver, name=name))
    assert waiting(tmp_path) == {kept}


def test_two_sweeps_at_once_do_not_meet_in_a_spool(tmp_path):
    first, second = spool(tmp_path, A), spool(tmp_path, A)
    with first.held() as mine, second.held() as yours:
        assert (mine, yours) == (True, False)
    with second.held() as mine:
        assert mine


def test_what_a_sweep_left_half_written_goes(there, tmp_path):
    there.take(piece(0, 3_000))
    assert list(tmp_path.rglob("*.part"))
    there.tidy()
    assert not list(tmp_path.rglob("*.part"))
    assert there.take(piece(3_000)) is False


def test_an_aborted_round_says_what_was_done(there):
    answers = iter([False, True])
    order = Order(tell=False, take=[piece(), piece(whole=OTHER)])
    assert [k.name for k in carry_out(order, there, lambda: next(answers)).kept] == [NAME]


def test_a_spool_is_its_owners_alone(tmp_path):
    spool(tmp_path, A)
    assert (tmp_path / "in").stat().st_mode & 0o077 == 0
