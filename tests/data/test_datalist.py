import json

import numpy as np
import pytest
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData, load_datalist, parse_datalist
from clinical_qkt.data.label_space import LabelSpace
from tests.conftest import square

CLASSES = LabelSpace(["red", "green"])


@pytest.fixture
def site(tmp_path):
    """A datalist of two classes, and a function that changes it."""
    sections = {"training": 12, "validation": 3, "test": 3}
    content = {"name": "squares", **{s: [] for s in sections}}
    for section, count in sections.items():
        for kind in CLASSES.names:
            for i in range(count):
                file = f"{section}_{kind}_{i}.png"
                Image.fromarray(square(kind, i)).save(tmp_path / file)
                content[section].append({"image": file, "label": kind})

    def write(**changes):
        (tmp_path / "datalist.json").write_text(json.dumps({**content, **changes}))
        return tmp_path / "datalist.json"

    write.content, write.folder = content, tmp_path
    return write


def with_blue(site, *sections):
    """The list's sections with another image of a queried class in each."""
    for i, section in enumerate(sections):
        Image.fromarray(square("blue", i)).save(site.folder / f"blue_{section}.png")
    return {s: [*site.content[s], {"image": f"blue_{s}.png", "label": "blue"}] for s in sections}


def test_reads_items_counts_and_shape(site):
    data = load_datalist(site(), CLASSES)
    assert data.counts("training") == {"red": 12, "green": 12}
    assert (data.channels, data.spatial_size, data.skipped) == (3, (20, 20), [])
    assert data.items["test"][0]["label"] == 0 and data.items["test"][0]["image"].endswith("test_red_0.png")


def test_labels_may_be_positions_in_the_files_own_list(site):
    numbered = [
        {"image": e["image"], "label": ["green", "red"].index(e["label"])} for e in site.content["test"]
    ]
    data = load_datalist(site(classes=["green", "red"], test=numbered), CLASSES)
    assert data.counts("test") == {"red": 3, "green": 3}


def test_a_missing_file_and_a_file_that_is_no_json_are_named(site, tmp_path):
    with pytest.raises(InputError, match="absent.json: the datalist cannot be read"):
        load_datalist(tmp_path / "absent.json", CLASSES)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="bad.json: not a JSON file"):
        parse_datalist(tmp_path / "bad.json")


def test_a_wrong_field_is_named(site):
    with pytest.raises(InputError, match=r"field 'training.0.image'"):
        load_datalist(site(training=[{"label": "red"}]), CLASSES)


def test_a_label_outside_the_class_list_is_refused_with_its_place(site):
    broken = [*site.content["test"][:2], {**site.content["test"][2], "label": "gren"}]
    with pytest.raises(InputError, match=r"test\[2\].label: 'gren' is not one of the site's classes") as e:
        load_datalist(site(test=broken), CLASSES)
    assert "did you mean 'green'" in str(e.value)
    with pytest.raises(InputError, match="label 7 is not a position"):
        load_datalist(site(test=[{**site.content["test"][0], "label": 7}]), CLASSES)


def test_an_empty_class_is_refused(site):
    only_red = [e for e in site.content["validation"] if e["label"] == "red"]
    with pytest.raises(InputError, match="validation: class 'green' has no images"):
        load_datalist(site(validation=only_red), CLASSES)


def test_one_bad_image_among_good_ones_is_left_out_and_told_by_its_place(site):
    whole = (site.folder / "training_red_0.png").read_bytes()
    (site.folder / "training_red_0.png").write_bytes(whole[: len(whole) // 2])
    (site.folder / "training_red_1.png").write_text("not a picture")
    (site.folder / "test_red_0.png").unlink()
    data = load_datalist(site(left_out=[["earlier.png", "damaged"]]), CLASSES)
    assert data.skipped == [
        ("left_out[0]", "damaged"),
        ("training[0]", "truncated or damaged"),
        ("training[1]", "not an image"),
        ("test[0]", "missing"),
    ]
    assert data.counts("training")["red"] == 10


def test_mostly_bad_images_are_an_error(site):
    for path in site.folder.glob("training_*.png"):
        path.write_text("not a picture")
    with pytest.raises(InputError, match="24 of 36 images cannot be read; the first is 'training\\[0\\]'"):
        load_datalist(site(), CLASSES)


def test_other_sizes_are_refused_unless_allowed(site):
    Image.fromarray(square("red", 0, size=30)).save(site.folder / "test_red_0.png")
    with pytest.raises(InputError, match="differ in size: 'test\\[0\\]' is 30x30, most are 20x20"):
        load_datalist(site(), CLASSES)
    assert load_datalist(site(), CLASSES, allow_mixed_sizes=True).spatial_size is None


def test_other_channels_are_always_refused(site):
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(site.folder / "test_red_0.png")
    with pytest.raises(InputError, match="differ in channels: 'test\\[0\\]' has 1, most have 3"):
        load_datalist(site(), CLASSES, allow_mixed_sizes=True)


def test_queried_images_serve_as_test_images_only(site):
    content = with_blue(site, "training", "test")
    data = load_datalist(site(**content), CLASSES, LabelSpace(["blue"]))
    assert data.counts("training") == {"red": 12, "green": 12, "blue": 0} and data.counts("test")["blue"] == 1
    assert data.skipped == [("training[24]", "shows a queried class, in the training section")]


def test_a_transfer_takes_a_few_queried_images_for_training_but_none_for_validation(site):
    content = with_blue(site, "training", "validation", "test")
    data = load_datalist(site(**content), CLASSES, LabelSpace(["blue"]), queried_in=("training", "test"))
    assert [data.counts(s)["blue"] for s in ("training", "validation", "test")] == [1, 0, 1]
    assert data.skipped == [("validation[6]", "shows a queried class, in the validation section")]


@pytest.mark.parametrize("label", [1.0, 1, "green", "Green", " green"])
def test_a_label_is_what_json_and_the_list_of_classes_mean(site, label):
    test = [{"image": e["image"], "label": label} for e in site.content["test"] if e["label"] == "green"]
    data = load_datalist(site(classes=["red", "green"], test=test), CLASSES)
    assert data.counts("test") == {"red": 0, "green": 3}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("label", 0.5, "field 'test.0.label': 0.5 is not a whole number"),
        ("label", 1e400, "Infinity|inf is not a whole number"),
        ("label", True, "field 'test.0.label': true is neither text nor a whole number"),
        ("label", None, "field 'test.0.label': null is neither"),
        ("label", ["red"], r"field 'test.0.label': \["),
        ("label", -1, r"test\[0\].label: label -1 is not a position"),
        ("label", "NaN", "field 'test.0.label': 'NaN' is a mark for a missing value"),
        ("patient", "nan", "field 'test.0.patient': 'nan' is a mark for a missing value"),
        ("patient_id", "P1", "the key 'patient_id' is not read; call it 'patient'"),
        ("PatientID", "P1", "the key 'PatientID' is not read"),
        ("subject", 3, "the key 'subject' is not read"),
        ("label", "", r"test\[0\].label: the name of a class is empty"),
        ("label", "a\tb", r"test\[0\].label: 'a\\tb' has control characters"),
        ("patient", "", "field 'test.0.patient': is empty"),
        ("patient", " \0", "field 'test.0.patient': is empty"),
        ("patient", 1.5, "field 'test.0.patient': 1.5 is not a whole number"),
        ("patient", False, "field 'test.0.patient': false is neither"),
        ("image", "", "field 'test.0.image': is no path"),
        ("image", 7, "field 'test.0.image': is no path"),
        ("image", "a\0b", "field 'test.0.image': is no path"),
    ],
)
def test_a_value_that_json_means_otherwise_is_refused_with_its_field(site, field, value, told):
    test = [{**site.content["test"][0], field: value}, *site.content["test"][1:]]
    with pytest.raises(InputError, match=told) as e:
        load_datalist(site(classes=["red", "green"], test=test), CLASSES)
    assert "\n" not in e.value.problem


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"name": "squares"', '"name": "a", "name": "b"', "the key 'name' stands twice"),
        ('"label": "red"', '"label": "green", "label": "red"', "the key 'label' stands twice"),
        ('"label": "red"', '"label": NaN', "NaN is no value in JSON"),
        (
            '"validation": [',
            '"valid": [',
            "the list 'valid' is no section; there are training, validation, test",
        ),
        ('"validation": [', '"val": ["a.png"], "validation": [', "the list 'val' is no section"),
        ('"test": [', '"test": ["a.png", ', "field 'test.0': is no mapping of names to values"),
        ('{"name"', "[" * 100_000, "not a JSON file"),
    ],
)
def test_what_json_readers_pass_over_in_silence_is_refused(site, old, new, told):
    path = site()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=told):
        parse_datalist(path)


def test_a_byte_order_mark_is_no_fault_and_other_encodings_are(site):
    path = site()
    text = path.read_text()
    path.write_text(text, encoding="utf-8-sig")
    assert len(parse_datalist(path).test) == 6
    path.write_bytes(text.replace("squares", "caf\u00e9").encode("latin-1"))
    with pytest.raises(InputError, match="not a JSON file"):
        parse_datalist(path)


def test_absolute_paths_and_paths_above_the_list_are_followed(site, tmp_path):
    (tmp_path / "lists").mkdir()
    written = json.loads(site().read_text())
    for section, start in (("training", "../"), ("validation", f"{tmp_path}/"), ("test", ".././")):
        written[section] = [{**e, "image": f"{start}{e['image']}"} for e in written[section]]
    (tmp_path / "lists" / "l.json").write_text(json.dumps(written))
    assert load_datalist(tmp_path / "lists" / "l.json", CLASSES).counts("training")["red"] == 12


def test_it_is_known_whose_image_each_is_and_an_image_of_nobody_is_that_of_a_patient_of_its_own():
    items = [{"image": f"{k}.png", "label": 0} for k in range(5)]
    data = CheckedData("", False, LabelSpace(["a"]), {"training": [], "validation": [], "test": items})
    assert data.whose("test") is None and data.patients_in("test") is None
    data.patients = {"0.png": "p", "1.png": "q", "2.png": "p"}
    whose = data.whose("test")
    assert whose[0] == whose[2] != whose[1] and len(set(whose)) == 4
    assert data.patients_in("test") is None  # of two images nobody knows
    data.patients |= {"3.png": "q", "4.png": "r"}
    assert data.patients_in("test") == 3
