"""What a carrier sees of a parcel, and what becomes of one that it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from clinical_qkt.core.errors import PackageError
from clinical_qkt.exchange.parcel import SMALLEST, Envelope, padded_size, read_envelope, seal, unseal

KEY = X25519PrivateKey.generate()
OUTSIDE = Envelope(exchange="0f" * 16, kind="reply", sender="north", receiver="south")


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    (tmp_path / "content").write_bytes(b"the means of basophils " * 20_000)
    seal(tmp_path / "a.parcel", OUTSIDE, tmp_path / "content", KEY.public_key())
    return tmp_path / "a.parcel"


def test_what_was_sealed_comes_out_with_zeros_behind_it(parcel, tmp_path):
    assert unseal(parcel, tmp_path / "out", KEY) == OUTSIDE == read_envelope(parcel)
    given = (tmp_path / "content").read_bytes()
    found = (tmp_path / "out").read_bytes()
    assert found[: len(given)] == given and not any(found[len(given) :])


def test_nothing_but_the_envelope_can_be_read(parcel):
    raw = parcel.read_bytes()
    assert b"basophil" not in raw and raw.count(b"south") == 1
    assert len(set(raw.split(b"\n", 2)[2][:4096])) > 200  # as good as random


def test_a_refusal_is_as_long_as_a_small_answer_and_a_large_one_grows_by_less_than_two_percent(tmp_path):
    sizes = []
    for i, content in enumerate((b"no", b"x" * 69_000)):
        (tmp_path / "content").write_bytes(content)
        seal(tmp_path / f"{i}.parcel", OUTSIDE, tmp_path / "content", KEY.public_key())
        sizes.append((tmp_path / f"{i}.parcel").stat().st_size)
    assert sizes[0] == sizes[1]


@given(st.integers(0, 10**10))
def test_padding_hides_the_size_and_costs_little(size):
    padded = padded_size(size)
    assert padded >= max(size, SMALLEST) and (size <= SMALLEST or padded <= 1.02 * size)
    assert padded_size(padded) == padded


@pytest.mark.parametrize("place", [30, 90, 150, 300, 500, 5_000, -1, -10])
def test_a_flipped_bit_is_found_wherever_it_is(parcel, tmp_path, place):
    raw = bytearray(parcel.read_bytes())
    raw[place] ^= 1
    parcel.write_bytes(raw)
    with pytest.raises(PackageError):
        unseal(parcel, tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_another_envelope_on_the_same_content_is_found(parcel, tmp_path):
    raw = parcel.read_bytes()
    assert raw.count(b'"south"') == 1
    parcel.write_bytes(raw.replace(b'"south"', b'"ssuth"'))
    with pytest.raises(PackageError, match="not sealed for this site's key"):
        unseal(parcel, tmp_path / "out", KEY)


@pytest.mark.parametrize(
    "raw, problem",
    [
        (b"", "is no parcel"),
        (b"PK\x03\x04 something else", "is no parcel"),
        (b"clinical-qkt/parcel/2\n{}\n", "another version"),
        (b"clinical-qkt/parcel/1\n{}\n", "envelope that cannot be read"),
        (b"clinical-qkt/parcel/1\n" + b"[" * 5_000, "envelope that cannot be read"),
    ],
)
def test_what_is_no_parcel_is_refused_in_a_sentence(tmp_path, raw, problem):
    (tmp_path / "x.parcel").write_bytes(raw)
    with pytest.raises(PackageError, match=problem):
        unseal(tmp_path / "x.parcel", tmp_path / "out", KEY)


def test_a_parcel_for_somebody_else_or_cut_off_stays_shut(parcel, tmp_path):
    with pytest.raises(PackageError, match="not sealed for this site's key"):
        unseal(parcel, tmp_path / "out", X25519PrivateKey.generate())
    parcel.write_bytes(parcel.read_bytes()[:300])
    with pytest.raises(PackageError, match="cut off|not sealed|was changed"):
        unseal(parcel, tmp_path / "out", KEY)
