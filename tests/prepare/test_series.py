import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from clinical_qkt.prepare.series import geometry, normal_of, places, same_orientation
from tests.conftest import ROOT

AXIAL = [1, 0, 0, 0, 1, 0]
SAGITTAL = [0, 1, 0, 0, 0, -1]
REAL = Path(os.environ.get("CLINICAL_QKT_DATA", ROOT.parent / "shared" / "data")) / "ct_head_dicom"


def test_slices_stand_in_order_of_place_and_not_as_given():
    found = geometry([[0, 0, 9], [0, 0, 3], [0, 0, 6]], AXIAL)
    assert (found.order, found.spacing, found.even, found.tilt) == ([1, 2, 0], 3.0, True, 0.0)
    # A sagittal stack runs along x, whichever way its normal points.
    assert geometry([[4, 0, 0], [0, 0, 0], [2, 0, 0]], SAGITTAL).order in ([1, 2, 0], [0, 2, 1])


def test_a_gap_and_two_slices_at_one_place_are_told():
    gap = geometry([[0, 0, z] for z in (0, 1, 2, 4)], AXIAL)
    assert (gap.even, gap.spacing, gap.largest, gap.same_place) == (False, 1.0, 2.0, 0)
    twice = geometry([[0, 0, z] for z in (0, 1, 1, 2)], AXIAL)
    assert (twice.even, twice.same_place, twice.spacing) == (False, 1, 1.0)


def test_a_single_slice_has_no_distance():
    alone = geometry([[1, 2, 3]], AXIAL)
    assert alone.spacing is None and alone.even and alone.tilt == 0


@given(st.floats(2, 30), st.integers(3, 40), st.floats(0.5, 8))
def test_a_tilted_gantry_shows_in_the_positions(degrees, count, step):
    angle = math.radians(degrees)
    tilted = [1, 0, 0, 0, math.cos(angle), -math.sin(angle)]
    found = geometry([[0, 0, step * k] for k in range(count)], tilted)
    assert found.tilt == pytest.approx(degrees, abs=0.01)
    assert found.even and found.spacing == pytest.approx(step * math.cos(angle))


@given(st.permutations(range(12)))
def test_the_order_does_not_depend_on_the_order_given(order):
    positions = [[0, 0, 2.5 * k] for k in order]
    assert [order[i] for i in geometry(positions, AXIAL).order] == list(range(12))


def test_what_is_no_orientation_is_an_error():
    for wrong in ([1, 0, 0], [1, 0, 0, 1, 0, 0], [0] * 6):
        with pytest.raises(ValueError, match="orientation|directions"):
            normal_of(wrong)
    assert not same_orientation(AXIAL, SAGITTAL) and same_orientation(AXIAL, [1, 0, 0, 0, 0.9999, 0])


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")
def test_a_real_head_scan_is_tilted_and_unevenly_spaced():
    slices = [dcmread(p, stop_before_pixels=True) for p in sorted(REAL.iterdir(), reverse=True)]
    found = geometry([s.ImagePositionPatient for s in slices], slices[0].ImageOrientationPatient)
    assert found.order == list(range(27, -1, -1))
    assert found.tilt == pytest.approx(18.5, abs=0.01) and not found.even
    assert (found.smallest, found.spacing, found.largest) == pytest.approx((1.08, 4.0, 7.0), abs=0.01)
    assert np.diff(places([s.ImagePositionPatient for s in slices], AXIAL)).max() < 0
