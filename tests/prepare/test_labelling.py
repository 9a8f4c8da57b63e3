from pathlib import PurePath

import pytest
from pydicom import Dataset

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.errors import InputError
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
        ("name,label\na,b\n", "lacks the columns"),
        ("file,label\na.png,\n", "row 2: a cell is empty"),
        ("file,label\na.png,x\na.png,y\n", "row 3: says another label"),
    ],
)
def test_a_wrong_table_is_refused_with_the_row_and_nothing_of_it(table, text, message):
    with pytest.raises(InputError, match=message) as e:
        TableLabels.read(table(text))
    assert "a.png" not in str(e.value)


def test_an_attribute_is_a_label_unless_it_is_empty_or_identifies():
    header = Dataset()
    header.BodyPartExamined, header.Modality = "HEAD", ""
    assert AttributeLabels("BodyPartExamined").label(PurePath("x"), header) == Label("HEAD")
    with pytest.raises(ImageRefused, match="Modality is empty"):
        AttributeLabels("Modality").label(PurePath("x"), header)
    with pytest.raises(InputError, match="no keyword"):
        labelling_of("BodyPart")
    with pytest.raises(InputError, match="can identify a patient"):
        labelling_of("PatientName")
    with pytest.raises(InputError, match="cannot be read"):
        labelling_of("absent.csv")
