"""A package's model says the same in other programs, or nothing is written."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.core.errors import InputError, OutputError, PackageError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look_map import LookMap
from clinical_qkt.export.export import FILES, export
from clinical_qkt.networks.committee import CommitteeSpec, Seat
from clinical_qkt.networks.extractor import PoolingSpec, describe
from clinical_qkt.networks.gaussian_classifier import GaussianSpec
from clinical_qkt.networks.multihead import MultiHeadSpec
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.packages.signing import Trust, new_key
from tests.conftest import ROOT, reseal, run, square

HERE = InputContract(channels=3, spatial_size=[28, 28], mean=[0.1], std=[0.5])
SMALLER = InputContract(channels=3, spatial_size=[24, 24], value_range=(0.0, 1.0))
SEEN, WANTED = ([m] * 3 + [0.02, 0.01, 0.01, 0.02, 0.01, 0.02] + [-1.0, -2, -3, -4, -5, s] for m, s in
                ((0.3, -6), (0.4, -5)))  # fmt: skip
LOOKING = HERE.model_copy(update={"look": LookMap(seen=SEEN, wanted=WANTED)})
GRID = {"intensity": "relative", "intensity_range": (0.0, 1.0)}
VOLUMES = InputContract(channels=1, spatial_size=[16, 16, 16], **GRID)
SPACED = InputContract(channels=1, spatial_size=[16, 16, 16], spacing=[1.0, 1.0, 1.0], **GRID)
SMALL = preset("resnet_small", 3, [28, 28])
CLASSES = ["red", "green", "blue"]


def single(contract=HERE):
    return preset("resnet_small", contract.channels, contract.spatial_size)


def committee(given=HERE, own=()):
    seats = [
        Seat(network=SMALL, input=given, columns=[0, 1]),
        Seat(network=SMALL, input=SMALLER, columns=[2, 0]),
    ]
    return CommitteeSpec(input=HERE, members=seats, width=4, own=list(own))


def one_body():
    seats = [Seat(network=SMALL, input=HERE, columns=columns) for columns in ([0, 1], [2, 0], [1, 3])]
    return CommitteeSpec(input=HERE, members=seats, width=4, own=[0, 1], one_body=True)


def multi_head():
    found = describe(SMALL.build(1).eval(), SMALL, SMALL.stages, HERE)
    body = PoolingSpec(network=SMALL, depths=SMALL.stages, pooled=found.pooled)
    return MultiHeadSpec(body=body, columns=[0, 1], heads=[[1, 2], [2, 3]], own=0, width=4)


def gaussian():
    found = describe(SMALL.build(1).eval(), SMALL, SMALL.early_depths, HERE)
    extractor = found.model_copy(update={"mirror_axes": [0, 1]})
    return GaussianSpec(extractor=extractor, own=2, gaussians=3)


MODELS = {
    "a network": (single, HERE),
    "a network whose images are brought to a look": (single, LOOKING),
    "a committee": (committee, HERE),
    "a committee with a look": (lambda: committee(LOOKING, own=[1, 0]), HERE),
    "a committee with one body": (one_body, HERE),
    "all stages of a network": (lambda: preset("efficientnet_lite0_stages", 3, [28, 28]), HERE),
    "several heads": (multi_head, HERE),
    "Gaussians": (gaussian, HERE),
    "volumes": (lambda: single(VOLUMES), VOLUMES),
}


def package(folder, spec, contract, **about):
    torch.manual_seed(0)
    network = spec.build(len(CLASSES)).eval()
    card = Card(
        site="hospital_a", task="squares", label_space=CLASSES, network=spec, head=find_head(network),
        input=contract, licence=["CC BY 4.0"], generated_data=True, **about,
    )  # fmt: skip
    save_model(folder, network, card)
    return folder


@pytest.fixture
def plain(tmp_path):
    return package(tmp_path / "p", single(), HERE)


def raw(contract, count):
    low, high = contract.intensity_range
    shape = (count, contract.channels, *contract.spatial_size)
    return low + torch.rand(shape, generator=torch.Generator().manual_seed(7)) * (high - low)


@torch.no_grad()
def said(folder, images):
    model = load_model(folder)
    return model.network(model.card.input.values(images))


def need_onnx():
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'clinical-qkt[export]'")


@pytest.mark.parametrize("kind", MODELS)
def test_torchscript_says_what_the_package_says_of_raw_images_in_any_batch(kind, tmp_path):
    spec, contract = MODELS[kind]
    source = package(tmp_path / "p", spec(), contract)
    export(source, tmp_path / "out", "torchscript", None)
    script = torch.jit.load(tmp_path / "out" / "model.ts")
    for count in (1, 2, 5):
        images = raw(contract, count)
        assert torch.allclose(script(images), said(source, images), atol=1e-4, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_onnx_says_what_the_package_says_of_raw_images_in_any_batch(kind, tmp_path):
    need_onnx()
    import onnxruntime

    spec, contract = MODELS[kind]
    source = package(tmp_path / "p", spec(), contract)
    export(source, tmp_path / "out", "onnx", None)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    for count in (1, 2, 5):
        images = raw(contract, count)
        (found,) = session.run(["logits"], {"image": images.numpy()})
        assert np.allclose(found, said(source, images).numpy(), atol=1e-4, rtol=1e-5)
    told = json.loads(session.get_modelmeta().custom_metadata_map["contract.json"])
    assert told == json.loads((tmp_path / "out" / "contract.json").read_text())


def test_onnx_is_refused_in_a_sentence_where_its_packages_are_missing(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="ONNX needs 'onnx', which is not installed") as e:
        export(plain, tmp_path / "out", "onnx", None)
    assert "clinical-qkt[export]" in e.value.fix and not (tmp_path / "out").exists()


def test_weights_that_no_onnx_file_holds_are_refused(plain, monkeypatch):
    from clinical_qkt.export import onnx_file

    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(InputError, match="an ONNX file holds 2,000,000,000"):
        onnx_file.require_small(load_model(plain).network)


def test_the_contract_stands_beside_the_model_and_in_it(plain, tmp_path):
    done = export(plain, tmp_path / "out", "torchscript", None)
    told = json.loads((tmp_path / "out" / "contract.json").read_text())
    assert told == done.contract.model_dump(mode="json")
    inside = {"contract.json": ""}
    torch.jit.load(tmp_path / "out" / "model.ts", _extra_files=inside)
    assert json.loads(inside["contract.json"]) == told
    assert told["input"]["shape"] == ["batch", 3, 28, 28] and told["input"]["channels"][0] == "red"
    assert told["input"]["intensity_range"] == [0.0, 255.0]
    assert [c["name"] for c in told["output"]["classes"]] == CLASSES
    assert told["generated_data"] is True and told["licence"] == ["CC BY 4.0"]
    assert told["weights_sha256"] == load_model(plain).card.weights_sha256
    assert any("forgetting budget" in what for what in told["inside"])


@pytest.mark.parametrize("made_as", ["torchscript", "bundle"])
def test_the_digests_fit(plain, tmp_path, made_as):
    export(plain, tmp_path / "out", made_as, None)
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, text=True
    )
    assert done.returncode == 0 and FILES[made_as] in done.stdout


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.full((2, 3, 32, 32), 9.0), "takes images of shape"),
        (torch.full((2, 1, 28, 28), 9.0), "takes images of shape"),
        (torch.full((2, 3, 28, 28), 300.0), "beyond what contract.json says"),
        (torch.full((2, 3, 28, 28), -1.0), "beyond what contract.json says"),
        (torch.full((2, 3, 28, 28), torch.nan), "beyond what contract.json says"),
        (torch.full((2, 3, 28, 28), 0.7), "these images end at 1"),
    ],
)
def test_torchscript_refuses_what_cannot_be_meant(plain, tmp_path, images, says):
    export(plain, tmp_path / "out", "torchscript", None)
    script = torch.jit.load(tmp_path / "out" / "model.ts")
    with pytest.raises(torch.jit.Error, match=says):
        script(images)
    assert script(torch.zeros(1, 3, 28, 28)).shape == (1, 3)  # black is an image


def test_a_model_that_would_say_something_else_is_not_written(plain, tmp_path, monkeypatch):
    from clinical_qkt.export import torchscript

    load = torchscript.load
    monkeypatch.setattr(
        torchscript, "load", lambda path: lambda x: load(path)(x) + torch.tensor([0.001, 0, 0])
    )
    with pytest.raises(InputError, match="differs from the original by .* nothing was written"):
        export(plain, tmp_path / "out", "torchscript", None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p"]


def test_nothing_is_overwritten(plain, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(OutputError, match="not an empty folder"):
        export(plain, tmp_path / "out", "torchscript", None)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_package_is_verified_first(plain, tmp_path):
    key, public, _ = new_key("hospital_a", tmp_path / "keys", None)
    with pytest.raises(PackageError, match="not signed"):
        export(plain, tmp_path / "out", "torchscript", Trust({"hospital_a": public}))
    reseal(plain, key=key)
    assert export(plain, tmp_path / "out", "torchscript", Trust({"hospital_a": public})).model.signed
    (plain / "card.json").write_text((plain / "card.json").read_text().replace("squares", "circles"))
    with pytest.raises(PackageError, match="digest"):
        export(plain, tmp_path / "other", "torchscript", None)


def test_the_command_exports_what_a_run_made(tmp_path, capsys):
    package(tmp_path / "run" / "model", single(), HERE)
    assert (
        run("export", str(tmp_path / "run"), str(tmp_path / "out"), "--format", "torchscript", "--unsigned")
        == 0
    )
    told = capsys.readouterr().out
    assert "in probabilities" in told and "none of these" in told and "generated images" in told
    assert (tmp_path / "out" / "model.ts").is_file()


# The bundle


def pictures(folder, count=3):
    folder.mkdir()
    for i in range(count):
        Image.fromarray(square("red", i, size=40)).save(folder / f"{i}.png")
    return folder


def read(file):
    lines = [line.split(",") for line in file.read_text().splitlines()]
    return np.array([[float(v) for v in line[1:]] for line in lines])


def by_clinical_qkt(source, files):
    """Probabilities as the package itself has them."""
    from clinical_qkt.data.transforms import adapter, reading

    model = load_model(source)
    prepare = adapter(reading(model.card.input.intensity), model.card.input)
    images = torch.stack([prepare({"image": str(f)})["image"] for f in files])
    with torch.no_grad():
        return model.network(images).softmax(1).numpy()


def infer(bundle, images, out, *more):
    """MONAI's own workflow, in this process."""
    from monai.bundle import ConfigWorkflow

    files = [str(bundle / "configs" / name) for name in ("inference.json", *more)]
    flow = ConfigWorkflow(
        config_file=files, meta_file=str(bundle / "configs" / "metadata.json"), logging_file=False,
        workflow_type="inference", bundle_root=str(bundle), dataset_dir=str(images), output_dir=str(out),
    )  # fmt: skip
    flow.initialize()
    flow.run()
    flow.finalize()
    return read(out / "predictions.csv")


@pytest.mark.parametrize("more", [(), ("read_with_clinical_qkt.json",)])
def test_monais_own_workflow_says_of_pictures_what_the_package_says(plain, tmp_path, more):
    export(plain, tmp_path / "b", "bundle", None)
    images = pictures(tmp_path / "images")
    found = infer(tmp_path / "b", images, tmp_path / "r", *more)
    assert np.allclose(found, by_clinical_qkt(plain, sorted(images.iterdir())), atol=1e-5)


def test_a_bundle_with_a_gate_has_one_more_column(plain, tmp_path):
    from clinical_qkt.evidence.gate import Door
    from clinical_qkt.evidence.gate_file import write_gate

    images = pictures(tmp_path / "images")
    wanted = by_clinical_qkt(plain, sorted(images.iterdir()))
    middle = Door("max_probability", float(np.median(wanted.max(1))))
    write_gate(plain, middle, load_model(plain).card.weights_sha256)
    export(plain, tmp_path / "b", "bundle", None, with_gate=True)
    found = infer(tmp_path / "b", images, tmp_path / "r")
    assert np.allclose(found[:, :-1], wanted, atol=1e-5)
    assert sorted(found[:, -1]) in ([0, 0, 1], [0, 1, 1]) and found[wanted.max(1).argmin(), -1] == 1
    metadata = json.loads((tmp_path / "b" / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == len(CLASSES) + 1
    assert "The last column is 1" in (tmp_path / "b" / "docs" / "README.md").read_text()


@pytest.mark.parametrize("contract", [VOLUMES, SPACED], ids=["resized", "resampled"])
def test_and_of_volumes(tmp_path, contract):
    from clinical_qkt.data.volumes import write_volume

    source = package(tmp_path / "p", single(contract), contract)
    export(source, tmp_path / "b", "bundle", None)
    (tmp_path / "images").mkdir()
    values = np.random.default_rng(0).uniform(size=(20, 18, 22)).astype(np.float32)
    write_volume(tmp_path / "images" / "v.nii.gz", values, np.diag([-1.0, 1.2, 0.9, 1]))
    found = infer(tmp_path / "b", tmp_path / "images", tmp_path / "r")
    assert np.allclose(found, by_clinical_qkt(source, [tmp_path / "images" / "v.nii.gz"]), atol=1e-5)
    config = (tmp_path / "b" / "configs" / "inference.json").read_text()
    assert ("clinical_qkt" in config) == (contract is SPACED)


@pytest.mark.parametrize("mode", ["I;16", "P", "RGBA", "L"])
def test_a_picture_that_would_have_to_be_interpreted_ends_the_run(plain, tmp_path, mode):
    export(plain, tmp_path / "b", "bundle", None)
    (tmp_path / "images").mkdir()
    deep = Image.fromarray(np.full((28, 28), 99, np.uint16))
    image = deep if mode == "I;16" else Image.fromarray(square("red", 0)).convert(mode)
    image.save(tmp_path / "images" / "x.png")
    with pytest.raises(RuntimeError):
        infer(tmp_path / "b", tmp_path / "images", tmp_path / "r")
    assert not (tmp_path / "r" / "predictions.csv").exists()


def test_its_metadata_have_the_form_of_a_bundles(plain, tmp_path):
    from jsonschema import validate

    export(plain, tmp_path / "b", "bundle", None)
    schema = json.loads((ROOT / "configs" / "schemas" / "bundle_metadata.json").read_text())
    schema["required"].remove("defaults")  # of our own bundles alone
    metadata = json.loads((tmp_path / "b" / "configs" / "metadata.json").read_text())
    validate(metadata, schema)
    assert [*metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()] == CLASSES


WITHOUT_US = """
import sys
sys.modules["clinical_qkt"] = None
from monai.bundle.__main__ import run
import fire
fire.Fire({"run": run})
"""


@pytest.mark.slow  # a process that loads MONAI
def test_the_readme_of_a_bundle_runs_where_clinical_qkt_is_not_installed(plain, tmp_path):
    export(plain, tmp_path / "b", "bundle", None)
    images = pictures(tmp_path / "images")
    lines = (tmp_path / "b" / "docs" / "README.md").read_text().splitlines()
    line = next(text for text in lines if "monai.bundle run" in text)
    words = line.replace("FOLDER", str(images)).replace("RESULTS", str(tmp_path / "r")).split()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, *words[3:]], cwd=tmp_path / "b", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "r" / "predictions.csv")
    assert np.allclose(found, by_clinical_qkt(plain, sorted(images.iterdir())), atol=1e-5)
