"""From a DICOM file to its data set; of a file that ends too early, what stands before its end.

References are to the DICOM standard: PS3.5 (encoding), PS3.10 (files).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import unpack
from typing import Any, BinaryIO

from pydicom import DataElement, Dataset, Sequence, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import data_element_generator
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import quiet, text
from clinical_qkt.data.signatures import PREFIX, PREFIX_AT

DEFER = 64 * 2**20
"""Bytes above which pixel data stay in the file until they are asked for, e.g. of long films."""
UNDEFINED = 0xFFFFFFFF
"""The length of an element that is ended by a delimiter (PS3.5, section 7.1.3)."""
SHORTEST = 8
"""Bytes of an element without a value (PS3.5, section 7.1)."""
ITEM = (0xFFFE, 0xE000)
TRAILING_PADDING = 0xFFFCFFFC
"""Data Set Trailing Padding (PS3.10, section 7.2)."""
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)


class CutShort(Dataset):
    """What was found of a data set before the place where it cannot be read further.

    Attributes:
        at_end: this place is the end of the file, so that the rest is missing.
    """

    at_end: bool = True

    @property
    def reason(self) -> str:
        """Why it cannot serve."""
        if self.at_end:
            return "truncated: its file is not as long as its header says"
        return "damaged: its DICOM header cannot be read to its end"


def read_header(path: Path) -> Dataset:
    """A file's data set, unchecked; large pixel data stay in the file.

    Returns:
        A ``CutShort`` with what was found of a data set that cannot be read to its end.

    Raises:
        ImageRefused: the file is missing, empty, no DICOM file, or cannot be opened.
    """
    if not path.is_file():
        raise ImageRefused("missing")
    try:
        size = path.stat().st_size
        with quiet():
            return _read(path, size)
    except InvalidDicomError:
        raise ImageRefused(_no_prefix(size)) from None
    except PermissionError:
        raise ImageRefused("may not be read by this user") from None
    except OSError:
        raise ImageRefused("cannot be read from its disk") from None


def _read(path: Path, size: int) -> Dataset:
    try:
        header = dcmread(path, defer_size=DEFER)
        if _deflated(header.file_meta):  # what stays in the file could not be found in it again
            header = dcmread(path)
    except (InvalidDicomError, PermissionError):
        raise
    except Exception:  # arbitrary bytes can raise anything, and the text may quote them
        return rescued(path)
    return rescued(path) if _ends_early(header, size) else header


def _no_prefix(size: int) -> str:
    if size == 0:
        return "is empty"
    if size < PREFIX_AT + len(PREFIX):
        return "truncated, or no DICOM file: it is shorter than the header of one"
    return "has no DICOM file header (PS3.10, section 7.1), so its transfer syntax is unknown"


def _ends_early(header: FileDataset, size: int) -> bool:
    """Whether the file ended within an element; pydicom then gives a short value, or no element at all."""
    found = [header.get_item(tag, keep_deferred=True) for tag in list(header.keys())]
    if not found or any(isinstance(e, RawDataElement) and _is_short(e, size) for e in found):
        return True
    last = found[-1]
    if not isinstance(last, RawDataElement) or last.length == UNDEFINED or last.tag >= PIXELS[0]:
        return False
    rest = size - last.value_tell - last.length
    return 0 < rest < SHORTEST and not _deflated(header.file_meta)


def _is_short(element: RawDataElement, size: int) -> bool:
    """Padding may be short, since it means nothing: after the data set, or the last byte of pixel data."""
    if element.length in (0, UNDEFINED) or element.tag == TRAILING_PADDING:
        return False
    there = size - element.value_tell if element.value is None else len(element.value)
    return there < element.length - (element.tag in PIXELS)


def rescued(path: Path) -> CutShort:
    """What can be read of a file's data set before it ends or makes no sense; call it within ``quiet``.

    Raises:
        OSError: the file cannot be opened.
    """
    found, meta = CutShort(), Dataset()
    with path.open("rb") as f:
        f.seek(PREFIX_AT + len(PREFIX))
        _collect(meta, f, implicit=False, little=True, until=lambda tag: tag >> 16 != 2)
        stream, whole = _inflated(f) if _deflated(meta) else (f, False)
        if text(meta, "TransferSyntaxUID"):
            _collect(found, stream, *_encoding(meta))
        found.at_end = not whole and stream.read(1) == b""
    return found


def _collect(
    found: Dataset,
    stream: BinaryIO,
    implicit: bool,
    little: bool,
    until: Callable[[int], bool] = lambda tag: False,
) -> None:
    """Read elements into a data set up to the end, an element that cannot be read, or as ``until`` says."""
    begun: list[tuple[int, str | None, int]] = []

    def note(tag: int, vr: str | None, length: int) -> bool:
        begun[:] = [(tag, vr, stream.tell())]
        return until(tag)

    try:
        for element in data_element_generator(stream, implicit, little, note):
            if isinstance(element, RawDataElement) and _is_cut_sequence(element):
                items = _items(io.BytesIO(element.value or b""), implicit, little)
                element = DataElement(element.tag, "SQ", Sequence(items))
            found[element.tag] = element
    except Exception as e:  # the end of the file, or bytes that make no sense
        if isinstance(e, EOFError):  # pydicom goes back to where the value begins
            stream.seek(0, io.SEEK_END)
        if begun and _is_sequence(*begun[0][:2]):
            tag, _, place = begun[0]
            stream.seek(place)
            found.add_new(tag, "SQ", Sequence(_items(stream, implicit, little)))


def _items(stream: BinaryIO, implicit: bool, little: bool) -> Iterator[Dataset]:
    """The items of a sequence as far as they go (PS3.5, section 7.5)."""
    while len(head := stream.read(SHORTEST)) == SHORTEST:
        *tag, length = unpack("<HHL" if little else ">HHL", head)
        if tuple(tag) != ITEM:
            return
        item = Dataset()
        inside = stream if length == UNDEFINED else io.BytesIO(stream.read(length))
        _collect(item, inside, implicit, little)
        yield item


def _is_cut_sequence(element: RawDataElement) -> bool:
    cut = element.length != UNDEFINED and len(element.value or b"") < element.length
    return cut and _is_sequence(element.tag, element.VR)


def _is_sequence(tag: int, vr: str | None) -> bool:
    try:
        return vr == "SQ" or (vr in (None, "UN") and dictionary_VR(tag) == "SQ")
    except KeyError:  # a private element
        return False


def _deflated(meta: Any) -> bool:
    return text(meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian


def _inflated(f: BinaryIO) -> tuple[BinaryIO, bool]:
    """The data set of a deflated file (PS3.5, section A.5) as far as it goes; whether that is all of it."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return io.BytesIO(inflater.decompress(f.read())), inflater.eof
    except zlib.error:
        return io.BytesIO(), True


def _encoding(meta: Dataset) -> tuple[bool, bool]:
    """Whether values lack their representation, and whether they begin with the lowest byte."""
    uid = UID(text(meta, "TransferSyntaxUID"))
    try:
        return uid.is_implicit_VR, uid.is_little_endian
    except ValueError:  # compressed and private ones are explicit, little endian (PS3.5, section A.4)
        return False, True
