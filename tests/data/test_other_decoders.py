"""What we make of real files, pixel by pixel against SimpleITK, whose DICOM decoder is GDCM.

Every file that we accept among the test files of pydicom, pydicom-data, pylibjpeg-data and nibabel is
compared. Packages that are not installed are skipped and named; the extra ``decoders`` brings those on PyPI.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.uid import JPEG2000, UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from clinical_qkt.data import dicom, dicom_pixels, display, volumes, windows
from clinical_qkt.data.formats import ImageRefused, suffix_of
from clinical_qkt.data.headers import quiet

sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
sitk.ProcessObject_GlobalWarningDisplayOff()

LOSSY = {JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless}
LOSSY_STEPS = 2
"""Two decoders of a lossy syntax may differ by this much in a stored value: they round in other places."""

SWAPPED = "GDCM takes the bytes of run-length coded colour with more than 8 bits in the other order"
KNOWN = {"SC_rgb_rle_16bit.dcm": SWAPPED, "SC_rgb_rle_32bit.dcm": SWAPPED}
"""Files that differ, with the reason; each has an uncompressed twin, which must agree."""
TWINS = {"SC_rgb_rle_16bit.dcm": "SC_rgb_16bit.dcm", "SC_rgb_rle_32bit.dcm": "SC_rgb_32bit.dcm"}


def files_of(module: str, folder: str = "") -> list[Path]:
    """The files that come with a package."""
    package = pytest.importorskip(module, reason=f"{module} is not installed, so its files are not compared")
    return sorted(p for p in (Path(package.__path__[0]) / folder).rglob("*") if p.is_file())


def accepted(paths: list[Path]) -> Iterator[tuple[Path, object, np.ndarray]]:
    """The DICOM images that we take: file, header and stored values."""
    for path in paths:
        if path.suffix in (".py", ".pyc", ".gz", ".nii"):
            continue
        try:
            header = dicom.opened(path)
            with quiet():
                yield path, header, dicom.stored_values(header)
        except ImageRefused:
            continue


def theirs(path: Path) -> np.ndarray:
    """SimpleITK's pixels: after rescale, grey values inverted if the file says MONOCHROME1."""
    return np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def ours(header, stored: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Our pixels in the form of SimpleITK's."""
    photometric = header.PhotometricInterpretation
    if photometric == "PALETTE COLOR" and other.dtype == np.uint8 != stored.dtype:
        return stored >> 8  # it keeps the upper 8 bits of most palettes
    if stored.ndim == 3:
        return stored
    if photometric == "MONOCHROME1":
        stored = sum(dicom_pixels.bits_of(header).range) - stored.astype(np.int64)
    first = windows.modality(header)
    return np.asarray(stored if first.table is not None else first(stored))  # it applies no modality table


def difference(path: Path, header, stored: np.ndarray) -> float:
    """The largest difference of a value, in steps of stored values beyond what rounding explains."""
    with quiet():
        other = theirs(path)
        mine = np.squeeze(ours(header, stored, other))
        slope = abs(windows.modality(header).slope) if stored.ndim == 2 else 1.0
    assert mine.shape == other.shape, path.name
    lossy = UID(str(header.file_meta.TransferSyntaxUID)) in LOSSY
    steps = float(np.abs(mine - other.astype(np.float64)).max()) / slope
    return max(0.0, steps - (LOSSY_STEPS if lossy else 1e-6))


def compare(paths: list[Path]) -> tuple[int, int, set[str]]:
    """How many files were compared, how many in Hounsfield units too, and the names of those that differ."""
    count, in_units, differing = 0, 0, set()
    for path, header, stored in accepted(paths):
        count += 1
        if difference(path, header, stored):
            differing.add(path.name)
        in_units += units_agree(path, header, stored)
    return count, in_units, differing


def units_agree(path: Path, header, stored: np.ndarray) -> bool:
    """Whether an image has Hounsfield units; they are held against SimpleITK's values after rescale."""
    try:
        with quiet():
            found = display.shown(header, stored, "HU").T
            inside = ~display.padding(header, stored)
    except ImageRefused:
        return False
    assert np.allclose(found[inside], theirs(path)[inside], atol=LOSSY_STEPS), path.name
    return True


def test_pydicoms_own_files_agree_but_for_the_known_ones():
    count, in_units, differing = compare(files_of("pydicom", "data"))
    assert count >= 70 and in_units >= 10 and differing == set(KNOWN)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "least"), [("data_store", 48), ("ljdata", 20), ("nibabel", 2)])
def test_the_files_of_other_packages_agree(module, least):
    count, _, differing = compare(files_of(module))
    print(f"{module}: {count} DICOM images compared with SimpleITK")
    assert count >= least and not differing


def test_where_we_differ_an_uncompressed_twin_agrees_with_us():
    mine = {
        p.name: stored for p, _, stored in accepted(files_of("pydicom", "data/test_files")) if p.name in TWINS
    }
    twins = {
        p.name: stored
        for p, _, stored in accepted(files_of("data_store", "data"))
        if p.name in TWINS.values()
    }
    assert set(mine) == set(KNOWN)
    for name, twin in TWINS.items():
        assert np.array_equal(mine[name], twins[twin])


def test_nibabels_own_volumes_agree_in_values_and_place():
    count = 0
    for path in files_of("nibabel", "tests/data"):
        if suffix_of(path) not in (".nii", ".nii.gz"):
            continue
        try:
            values, affine = volumes.read_volume(path)
        except ImageRefused:
            continue
        image = sitk.ReadImage(str(path))
        assert np.allclose(np.squeeze(sitk.GetArrayFromImage(image).T), values, rtol=1e-6), path.name
        assert np.allclose(place_of(image), affine, atol=1e-3), path.name
        count += 1
    assert count >= 3


@pytest.mark.parametrize("unit", ["unknown", "mm", "meter", "micron"])
@pytest.mark.parametrize(("slope", "inter"), [(None, None), (0.5, -3.0)])
def test_units_and_scaling_of_volumes_are_theirs(tmp_path, unit, slope, inter):
    size = {"meter": 0.002, "micron": 2000.0}.get(unit, 2.0)
    content = np.arange(-60, 60, dtype=np.int16).reshape(4, 5, 6)
    image = nibabel.Nifti1Image(content, np.diag([size, size, 2 * size, 1]))
    image.header.set_xyzt_units(unit)
    image.header.set_slope_inter(slope, inter)
    nibabel.save(image, tmp_path / "x.nii")
    values, affine = volumes.read_volume(tmp_path / "x.nii")
    other = sitk.ReadImage(str(tmp_path / "x.nii"))
    assert np.allclose(sitk.GetArrayFromImage(other).T, values) and np.ptp(values) > 1
    assert np.allclose(place_of(other), affine) and volumes.spacing_of(affine) == pytest.approx((2, 2, 4))


def place_of(image) -> np.ndarray:
    """SimpleITK's affine, whose first two axes run the other way than NIfTI's."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(pytest.skip.Exception, match="no_such_package is not installed"):
        files_of("no_such_package")
