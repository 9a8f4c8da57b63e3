"""Grey pictures as DICOM files, as a hospital's archive might hold them; all headers are invented.

    python tests/make_dicom.py mednist_28.npz OUT [--per-class N]

writes ``OUT/dicom/`` (nested folders, no suffixes; some files with 8 bits, some with 12, a rescale and a
window, some inverted) and ``OUT/labels.csv``. Each file shows the picture that it was made of. Exact
duplicates are dropped.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

Array = np.ndarray[Any, Any]

CLASSES = (
    ("CT", CTImageStorage),
    ("CR", ComputedRadiographyImageStorage),
    ("OT", SecondaryCaptureImageStorage),
)


def write_dicom(
    folder: Path, pictures: Array, labels: Sequence[str], *, slices: int = 4, seed: int = 0
) -> list[tuple[Path, str, str]]:
    """Write ``(N, H, W)`` uint8 pictures of named classes.

    Args:
        folder: gets ``study/series/file`` folders.
        slices: pictures a patient; all of a patient's pictures have one label.

    Returns:
        Each file relative to the folder, its label and its patient.
    """
    rng = np.random.default_rng(seed)
    written: list[tuple[Path, str, str]] = []
    for name in dict.fromkeys(labels):
        mine = [i for i, label in enumerate(labels) if label == name]
        for first in range(0, len(mine), slices):
            group = mine[first : first + slices]
            patient = f"P{len(written):06d}"
            study, series = generate_uid(), generate_uid()
            places = rng.permutation(len(group))
            for k, i in enumerate(group):
                header = picture_header(pictures[i], style=int(rng.integers(4)), kind=first // slices % 3)
                header.PatientID, header.PatientName = patient, f"Invented^{patient}"
                header.StudyInstanceUID, header.SeriesInstanceUID = study, series
                header.BodyPartExamined, header.InstanceNumber = name.upper()[:16], k + 1
                header.PixelSpacing = [1.5, 1.5]
                header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
                header.ImagePositionPatient = [0, 0, 3.0 * int(places[k])]
                file = Path(f"study_{len(written) % 7}") / patient / f"IM{k:04d}"
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                header.save_as(folder / file, enforce_file_format=True)
                written.append((file, name, patient))
    return written


def picture_header(picture: Array, style: int, kind: int) -> Dataset:
    """A data set that shows ``(H, W)`` uint8 values as they are.

    Args:
        style: 0 with 8 bits, 1 the same inverted, 2 with 12 bits, rescale and window, 3 the same inverted.
        kind: position in ``CLASSES``.
    """
    modality, sop_class = CLASSES[kind]
    inverted, deep = style % 2 == 1, style >= 2
    shown = 255 - picture if inverted else picture
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = sop_class
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.Modality = modality
    header.Rows, header.Columns = picture.shape
    header.SamplesPerPixel, header.PixelRepresentation = 1, 0
    header.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    header.BitsAllocated, header.BitsStored = (16, 12) if deep else (8, 8)
    header.HighBit = header.BitsStored - 1
    if deep:
        # Values are 8 a grey level from -824; the window's ends (PS3.3 C.11.2.1.2.1) are those of 0 and 255.
        shown = (shown.astype(np.uint16) * 4 + 100).astype("<u2")
        header.RescaleSlope, header.RescaleIntercept = 2, -1024
        header.WindowCenter, header.WindowWidth = 196.5, 2041
    data = shown.tobytes()
    header.PixelData = data + b"\0" * (len(data) % 2)
    header["PixelData"].VR = "OW" if deep else "OB"
    return header


def slice_header(stored: Array, **changes: Any) -> Dataset:
    """A CT slice of given stored values, ``(H, W)`` integers, with changed attributes; None removes one."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.Rows, header.Columns = stored.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.PixelRepresentation = 8 * stored.itemsize, int(stored.dtype.kind == "i")
    header.BitsStored, header.HighBit = header.BitsAllocated, header.BitsAllocated - 1
    header.Modality, header.RescaleSlope, header.RescaleIntercept = "CT", 1, 0
    data = stored.tobytes()
    header.PixelData = data + b"\0" * (len(data) % 2)
    header["PixelData"].VR = "OW"
    for keyword, changed in changes.items():
        if changed is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, changed)
    return header


def write_slice(path: Path, stored: Array, **changes: Any) -> Path:
    """A file of ``slice_header``."""
    slice_header(stored, **changes).save_as(path, enforce_file_format=True)
    return path


def write_labels(path: Path, written: Sequence[tuple[Path, str, str]]) -> None:
    """The table that ``prepare --labels`` takes."""
    with path.open("w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(["file", "label"])
        table.writerows((file.as_posix(), label) for file, label, _ in written)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("npz", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--per-class", type=int, default=None)
    parser.add_argument("--slices", type=int, default=4, help="pictures a patient")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with np.load(given.npz) as archive:
        images, labels = archive["images"], archive["labels"].ravel()
        names = [str(n) for n in archive["classes"]]
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    chosen: list[int] = []
    rng = np.random.default_rng(given.seed)
    for c in range(len(names)):
        mine = rng.permutation([i for i in np.sort(first) if labels[i] == c])
        chosen += mine[: given.per_class].tolist()
    written = write_dicom(
        given.out / "dicom",
        images[chosen],
        [names[labels[i]] for i in chosen],
        slices=given.slices,
        seed=given.seed,
    )
    write_labels(given.out / "labels.csv", written)
    print(f"{len(written)} files, {len({p for *_, p in written})} invented patients")


if __name__ == "__main__":
    main()
