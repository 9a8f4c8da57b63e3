from pathlib import PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom._dicom_dict import DicomDictionary

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.prepare.labelling import AttributeLabels, FolderLabels, Label, TableLabels, labelling_of


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "labels.csv").write_text(text, encoding="utf-8-sig")
        return tmp_path / "labels.csv"

    return write


def test_a_folder_is_a_label_only_directly_below_the_source():
    labels = FolderLabels()
    assert labels.label(PurePath("red/deep/a.png"), None) == Label("red")
    with pytest.raises(ImageRefused, match="no sub-folder"):
        labels.label(PurePath("a.png"), None)


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_names_labels_and_patients(table, separator):
    rows = "file,label,patient\na/1.png,red,p1\n./a/2.png, green ,p1\nb.png,red,\n"
    labels = labelling_of(str(table(rows.replace(",", separator))))
    assert labels.label(PurePath("a/1.png"), None) == Label("red", "p1")
    assert labels.label(PurePath("a/2.png"), None) == Label("green", "p1")
    with pytest.raises(ImageRefused, match="no row"):
        labels.label(PurePath("c.png"), None)
    assert labels.notes() == ["1 rows of the table of labels fit no image"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_every_make_say_the_same(table, separator, end):
    lines = [
        "File,LABEL,,note",
        'a.png,"red, dark",,"two',
        'lines"',
        "b.png,green,,",
        ",,,",
        "",
        'c.png,"""x""",,',
    ]
    given = end.join(lines).replace(",", separator).replace(f"red{separator} dark", "red, dark")
    found = TableLabels.read(table(given)).rows
    assert found == {"a.png": Label("red, dark"), "b.png": Label("green"), "c.png": Label('"x"')}
    assert TableLabels.read(table(f"sep={separator}{end}{given}" if end != "\r" else given)).rows == found


def test_whole_numbers_written_as_decimals_are_whole_numbers_and_are_counted(table):
    rows = "file,label,patient\na.png,0.0,7.0\nb.png,1.0,7\nc.png,1,8.00\n"
    labels = TableLabels.read(table(rows))
    assert list(labels.rows.values()) == [Label("0", "7"), Label("1", "7"), Label("1", "8")]
    told = " ".join(labels.notes())
    assert "2 cells of the column 'label'" in told and "2 cells of the column 'patient'" in told
    comma = TableLabels.read(table(rows.replace(",", ";").replace(".0", ",0").replace(",00", ",0")))
    assert comma.rows == labels.rows
    words = TableLabels.read(table("file,label,patient\na.png,grade 1.0,12E5\nb.png,v1.5,1.2.3\n"))
    assert list(words.rows.values()) == [Label("grade 1.0", "12E5"), Label("v1.5", "1.2.3")]
    assert "cells of the column" not in " ".join(words.notes())


def test_a_file_is_found_however_its_path_is_spelt(table):
    spelt = {
        "x/a.png": "x\\a.png",
        "b.png": "x/../b.png",
        "x/c.png": "./x//c.png",
        "caf\u00e9.png": "cafe\u0301.png",
    }
    labels = TableLabels.read(table("file,label\n" + "".join(f"{s},red\n" for s in spelt.values())))
    assert all(labels.label(PurePath(file), None) == Label("red") for file in spelt)
    assert not labels.notes()


def test_a_table_in_another_encoding_is_refused(tmp_path):
    for name, content in {
        "latin": "file,label\na.png,caf\u00e9\n".encode("latin-1"),
        "utf16": "file".encode("utf-16"),
    }.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
        with pytest.raises(InputError, match="is not in UTF-8"):
            labelling_of(str(tmp_path / f"{name}.csv"))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('ab1.0,;\t"\n\r\\/é'), max_size=60))
def test_any_text_is_a_table_or_is_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("junk") / "t.csv"
    path.write_bytes(f"file,label\n{content}".encode())
    try:
        assert all(key and label.name for key, label in TableLabels.read(path).rows.items())
    except InputError as e:
        assert e.where.startswith("--labels")


def test_a_table_of_series(table):
    labels = TableLabels.read(table("SeriesInstanceUID,label\n1.2.3,head\n"))
    header = Dataset()
    header.SeriesInstanceUID = "1.2.3"
    assert labels.label(PurePath("x"), header) == Label("head") and not labels.notes()
    with pytest.raises(ImageRefused):
        labels.label(PurePath("x"), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the columns"),
        ("\n\n", "lacks the columns"),
        ("file,label,Label \na.png,x,y\n", "has two columns 'label'"),
        ("FILE,label,file\na.png,x,b.png\n", "has two columns 'file'"),
        ("series,label,SeriesInstanceUID\n1.2,x,1.3\n", "has two columns of series"),
        ("file,label,patient\na,b.png,red,p1\n", "row 2: has 4 cells, and the first line has 3"),
        ("file,label,patient\na.png,p1\n", "row 2: has 2 cells"),
        ("file,label\na.png,red,\n", "row 2: has 3 cells"),
        ('file,label\na.png,"re"d\n', "is no CSV file"),
        ("file,label\na.png,0.5\n", "row 2: 'label' is a fraction"),
        ("file;label\na.png;0,5\n", "row 2: 'label' is a fraction"),
        ("file,label\na.png,NaN\n", "row 2: 'label' is a mark for a missing or wrong value"),
        ("file,label\na.png,#REF!\n", "row 2: 'label' is a mark"),
        ("file,label,patient\na.png,x,nan\n", "row 2: 'patient' is a mark"),
        ("file,label,patient\na.png,x,1.23457E+11\n", "row 2: 'patient' is a number that a spreadsheet"),
        ("file,label\nx/a.png,x\nx\\a.png,y\n", "row 3: says another label"),
        ("file,label\nb.png,x\na/../b.png,y\n", "row 3: says another label"),
        ("file,label,patient\n./b.png,x,p\nb.png,x,q\n", "row 3: says another label or patient"),
        ("name,label\na,b\n", "lacks the columns"),
        ("file,label\na.png,\n", "row 2: a cell is empty"),
        ("file,label\na.png,N/A\n", "row 2: 'label' is a mark"),
        ("file,label\na.png,None\n", "row 2: 'label' is a mark"),
        ("file,label,patient\na.png,x,NA\n", "row 2: 'patient' is a mark"),
        ("file,label,patient\na.png,x,7\nb.png,y,007\n", "row 3: its 'patient' and that of row 2 differ"),
        ("file,label,patient\na.png,x,P 1\nb.png,y,p1\n", "row 3: its 'patient' and that of row 2 differ"),
        ("file,label,Patient_ID\na.png,x,1\n", "has a column 'patient_id', which is not read"),
        ("file,label,subject\na.png,x,1\n", "has a column 'subject', which is not read"),
        ("file,label\na.png,x\na.png,y\n", "row 3: says another label"),
    ],
)
def test_a_wrong_table_is_refused_with_the_row_and_nothing_of_it(table, text, message):
    with pytest.raises(InputError, match=message) as e:
        TableLabels.read(table(text))
    assert "a.png" not in str(e.value)


def test_what_differs_in_more_than_its_spelling_is_two_patients_and_none_is_a_class(table):
    rows = "file,label,patient\na.png,none,A007\nb.png,na,a7\nc.png,case,0\nd.png,none,10\n"
    labels = TableLabels.read(table(rows)).rows.values()
    assert [(label.name, label.patient) for label in labels] == [
        ("none", "A007"),
        ("na", "a7"),
        ("case", "0"),
        ("none", "10"),
    ]


def test_a_table_may_be_called_tsv_and_a_spreadsheet_is_refused_as_one(tmp_path):
    (tmp_path / "a.TSV").write_text("file\tlabel\na.png\tred\n")
    assert labelling_of(str(tmp_path / "a.TSV")).rows == {"a.png": Label("red")}
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="is a file, but no table"):
        labelling_of(str(tmp_path / "a.xlsx"))


def test_an_attribute_is_a_label_unless_it_is_empty_or_identifies():
    header = Dataset()
    header.BodyPartExamined, header.Modality = "HEAD", ""
    assert AttributeLabels("BodyPartExamined").label(PurePath("x"), header) == Label("HEAD")
    with pytest.raises(ImageRefused, match="Modality is empty"):
        AttributeLabels("Modality").label(PurePath("x"), header)
    header.BodyPartExamined = ["HEAD", "NECK"]
    with pytest.raises(ImageRefused, match="BodyPartExamined holds several values"):
        AttributeLabels("BodyPartExamined").label(PurePath("x"), header)
    with pytest.raises(InputError, match="no keyword"):
        labelling_of("BodyPart")
    with pytest.raises(InputError, match="can identify a patient"):
        labelling_of("PatientName")
    with pytest.raises(InputError, match="cannot be read"):
        labelling_of("absent.csv")


@pytest.mark.parametrize(
    ("keyword", "says"),
    [
        ("OrderEnteredBy", "holds a person's name"),
        ("ContentDate", "can identify"),
        ("DateOfSecondaryCapture", "holds a date"),
        ("TimeOfSecondaryCapture", "holds a time"),
        ("FrameReferenceDateTime", "holds a date and a time"),
        ("IrradiationEventUID", "holds an identifier"),
        ("AnatomicRegionSequence", "holds a sequence"),
        ("PixelData", "holds binary data"),
        ("RedPaletteColorLookupTableData", "holds binary data"),
        ("InterpretationText", "holds free text"),
        ("UnformattedTextValue", "holds free text"),
        ("RetrieveAETitle", "names a device"),
        ("RetrieveURL", "holds an address"),
        ("FrameIncrementPointer", "holds a tag"),
        ("PatientAge", "can identify a patient"),
        ("SliceThickness", "holds a measured number"),
        ("ImageType", "always holds several values"),
        ("ClinicalTrialSubjectID", "can identify a patient"),
        ("OrderCallbackPhoneNumber", "can identify a patient"),
        ("IssuerOfAdmissionID", "can identify a patient"),
    ],
)
def test_an_attribute_that_holds_no_short_word_is_no_label(keyword, says):
    with pytest.raises(InputError, match=f"^--labels: {keyword} {says}") as e:
        labelling_of(keyword)
    assert "\n" not in e.value.problem and e.value.fix == "write the labels into a CSV file"


def test_of_the_whole_dictionary_only_words_and_whole_numbers_are_labels():
    allowed = set()
    for vr, _, _, _, keyword in DicomDictionary.values():
        if keyword:
            try:
                labelling_of(keyword)
                allowed.add(vr)
            except InputError:
                pass
    assert allowed == {"CS", "SH", "LO", "UC", "IS", "US", "SS", "UL", "SL", "UV", "SV", "US or SS"}
    for keyword in (
        "BodyPartExamined",
        "Modality",
        "Laterality",
        "ViewPosition",
        "SequenceName",
        "Manufacturer",
    ):
        assert isinstance(labelling_of(keyword), AttributeLabels)
