import stat

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import tag_for_keyword
from pydicom.sequence import Sequence

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.headers import quiet
from clinical_qkt.prepare.identifiers import KEYWORDS, inspect
from clinical_qkt.prepare.pseudonyms import Salt


def test_every_keyword_is_in_the_data_dictionary():
    repeating = {"OverlayData"}
    assert not [k for k in KEYWORDS if tag_for_keyword(k) is None and k not in repeating]


def test_identifiers_are_counted_in_sequences_too_and_values_are_not_kept():
    inner = Dataset()
    inner.PatientID, inner.AccessionNumber = "4711", "A-1"
    header = Dataset()
    header.PatientName, header.PatientID, header.StudyDate = "Doe^Jane", "4711", ""
    header.RequestAttributesSequence = Sequence([inner])
    header.add_new(0x00091001, "LO", "private")
    header.add_new(0x60003000, "OW", b"\1\0")
    header.Modality, header.BurnedInAnnotation, header.PatientIdentityRemoved = "CT", "YES", "Jane"
    found = inspect(header)
    assert found.identifying == {
        "PatientName": 1,
        "PatientID": 2,
        "AccessionNumber": 1,
        "RequestAttributesSequence": 1,
        "OverlayData": 1,
    }
    assert (found.private, found.burned_in, found.removed) == (1, "YES", "")
    assert "Doe" not in repr(found) and "4711" not in repr(found) and "Jane" not in repr(found)


def test_a_real_header_is_looked_through():
    with quiet():
        found = inspect(dcmread(get_testdata_file("CT_small.dcm")))
    assert {"PatientName", "PatientID", "StudyDate", "StudyInstanceUID"} <= set(found.identifying)
    assert found.private > 0 and found.burned_in == ""


def test_a_name_is_the_same_with_the_same_salt_only(tmp_path):
    salt = Salt.new()
    salt.write(tmp_path / "salt")
    again = Salt.read(tmp_path / "salt", "--salt")
    assert salt.name("patient", "", "4711") == again.name("patient", "", "4711")
    assert len(salt.name("x")) == 16 and salt.name("patient", "", "4711") != Salt.new().name(
        "patient", "", "4711"
    )
    assert salt.name("a", "bc") != salt.name("ab", "c")
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600


def test_what_is_no_salt_is_refused(tmp_path):
    (tmp_path / "salt").write_bytes(b"short")
    for path in (tmp_path / "salt", tmp_path / "absent"):
        with pytest.raises(InputError, match="--salt: is no salt"):
            Salt.read(path, "--salt")
