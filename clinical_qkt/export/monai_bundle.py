"""A MONAI bundle that MONAI's own launcher infers with: TorchScript, and configs of MONAI's parts alone.

Pictures of 8 bits and NIfTI volumes are read by MONAI. What needs more than that, DICOM and resampling to a
spacing, is read by clinical-qkt; those configs import it, and say so.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clinical_qkt.core.files import write_json, write_text
from clinical_qkt.core.version import __version__
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.export.contract import ExportContract

MODEL = "models/model.ts"
PICTURES, VOLUMES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"), (".nii", ".nii.gz")
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
SAME = {1: "{'L': 'L'}", 3: "{'RGB': 'RGB'}"}
CONVERTED = {1: "{'L': 'L', 'RGB': 'L'}", 3: "{'RGB': 'RGB', 'L': 'RGB'}"}
"""Which modes of pictures are read, and as what; any other ends the run."""
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
WITH_GATE = {
    "_target_": "Lambdad",
    "keys": "pred",
    "func": "$lambda both: torch.cat([both[0].softmax(0), (both[1] > 0).any(0, keepdim=True)])",
}
"""Of one image's answer: probabilities; where there is a gate, then 1 for 'none of these' and else 0."""


def stands_alone(given: InputContract) -> bool:
    """Whether MONAI's own transforms prepare images exactly as the contract says."""
    volumes = len(given.spatial_size) == 3
    return given.spacing is None and volumes == (given.intensity != "display") and given.channels in SAME


def write(folder: Path, contract: ExportContract) -> None:
    """Write all files of the bundle but the model and the contract."""
    given = contract.prepared
    config = _config(given, contract.none_of_these is not None)
    ours = _with_clinical_qkt(given)
    if stands_alone(given):
        write_json(folder / "configs" / "inference.json", config)
        write_json(folder / "configs" / "read_with_clinical_qkt.json", ours)
    else:
        write_json(folder / "configs" / "inference.json", {**config, **_merged(config, ours)})
    write_json(folder / "configs" / "metadata.json", _metadata(contract))
    write_text(folder / "docs" / "README.md", _readme(contract))
    write_text(folder / "LICENSE", "\n\n".join(contract.licence) + "\n")


def _config(given: InputContract, gate: bool) -> dict[str, Any]:
    """Inference on all images below ``dataset_dir``, into a CSV with one line an image."""
    return {
        "imports": [
            "$import pathlib",
            "$import numpy",
            "$from PIL import Image",
            "$import PIL.ImageOps as ImageOps",
        ],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "images": _found(given),
        "network_def": f"$torch.jit.load(@bundle_root + '/{MODEL}', map_location=@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _reading(given)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i, 'file': i} for i in @images]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 8, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": [WITH_GATE if gate else SOFTMAX]},
        "handlers": [
            {
                "_target_": "ClassificationSaver",
                "output_dir": "@output_dir",
                "filename": "predictions.csv",
                "batch_transform": "$lambda batch: [{'filename_or_obj': i['file']} for i in batch]",
                "output_transform": "$monai.handlers.from_engine(['pred'])",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network_def",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": ["$@network_def.eval()"],
        "run": ["$@evaluator.run()"],
    }


def _found(given: InputContract) -> str:
    ends = PICTURES if len(given.spatial_size) == 2 else VOLUMES
    return (
        f"$sorted(str(p) for p in pathlib.Path(@dataset_dir).rglob('*') if p.name.lower().endswith({ends!r}))"
    )


def _reading(given: InputContract) -> list[dict[str, Any]]:
    resized = {
        "_target_": "Resized",
        "keys": "image",
        "spatial_size": given.spatial_size,
        "mode": "area",
    }
    plain = {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32", "track_meta": False}
    if len(given.spatial_size) == 3:
        volume = {
            "_target_": "LoadImaged",
            "keys": "image",
            "reader": "NibabelReader",
            "ensure_channel_first": True,
        }
        upright = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None}
        return [volume, upright, resized, plain]
    modes = (CONVERTED if given.other_channels == "convert" else SAME).get(given.channels)
    # Not LoadImaged: where one reader refuses a picture, it takes another, which reads a palette as grey.
    steps = (
        "$lambda file: ImageOps.exif_transpose(Image.open(file))",
        f"$lambda image: image.convert({modes}[image.mode])",
        "$lambda image: numpy.atleast_3d(numpy.asarray(image, 'float32')).T.copy()",
    )
    read = [{"_target_": "Lambdad", "keys": "image", "func": step} for step in steps]
    return [*read, resized, plain]


def _with_clinical_qkt(given: InputContract) -> dict[str, Any]:
    """What is other where clinical-qkt reads the files, as it does in its own bundles."""
    update: dict[str, Any] = {"value_range": given.intensity_range, "mean": [], "std": [], "look": None}
    raw = given.model_copy(update=update).model_dump(mode="json")
    return {
        "+imports": ["$import clinical_qkt.bundle as qkt"],
        "raw": raw,
        "images": "$[i['image'] for i in qkt.image_items(@dataset_dir, qkt.contract(@raw))]",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": f"$qkt.reading({given.intensity!r}) + qkt.prepare(qkt.contract(@raw))",
        },
    }


def _merged(config: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """An overlay whose ``+imports`` add to the config's."""
    rest = {key: value for key, value in over.items() if not key.startswith("+")}
    return {**rest, "imports": [*config["imports"], *over["+imports"]]}


def _metadata(contract: ExportContract) -> dict[str, Any]:
    given, names = contract.prepared, [c.name for c in contract.output.classes]
    gate = [] if contract.none_of_these is None else ["none of these: 1, else 0"]
    needs = {} if stands_alone(given) else {"clinical-qkt": __version__}
    volumes = len(given.spatial_size) == 3
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by {contract.software}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "pytorch-ignite": version("pytorch-ignite"),
            **({"nibabel": version("nibabel")} if volumes else {"pillow": version("pillow")}),
            **needs,
        },
        "name": contract.task,
        "task": "classification",
        "description": f"{contract.network} of {contract.site}, exported from a package of clinical-qkt",
        "authors": contract.site,
        "copyright": "; ".join(contract.licence),
        "data_source": "generated images" if contract.generated_data else "images of patients",
        "data_type": "nibabel" if volumes else "picture",
        "image_classes": contract.input.intensity,
        "label_classes": "one class an image",
        "pred_classes": "one probability a class",
        "intended_use": contract.intended_use,
        "references": [],
        "network_data_format": {
            "inputs": {"image": _image(contract)},
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": len(names) + len(gate),
                    "spatial_shape": [1],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(i): name for i, name in enumerate(names + gate)},
                }
            },
        },
    }


def _image(contract: ExportContract) -> dict[str, Any]:
    given = contract.prepared
    return {
        "type": "image",
        "format": "RGB" if given.channels == 3 else "magnitude",
        "modality": "not told",
        "num_channels": given.channels,
        "spatial_shape": given.spatial_size,
        "dtype": "float32",
        "value_range": list(given.intensity_range),
        "is_patch_data": False,
        "channel_def": {str(i): name for i, name in enumerate(contract.input.channels)},
    }


def _readme(contract: ExportContract) -> str:
    given, alone = contract.prepared, stands_alone(contract.prepared)
    reads = "NIfTI volumes" if len(given.spatial_size) == 3 else "pictures of 8 bits a channel"
    command = (
        "python -m monai.bundle run --config_file {files} --meta_file configs/metadata.json "
        "--bundle_root . --dataset_dir FOLDER --output_dir RESULTS"
    )
    both = "\"['configs/inference.json','configs/read_with_clinical_qkt.json']\""
    classes = "\n".join(f"{i + 1}. {c.name}" for i, c in enumerate(contract.output.classes))
    lines = [
        f"# {contract.task}",
        f"Exported by {contract.software}. Use: {contract.intended_use}. What it takes and gives stands in "
        "`contract.json`.",
        "In this folder:",
        "    " + command.format(files="configs/inference.json"),
        "`RESULTS/predictions.csv` has a line an image: its path, then the probability of each class:",
        classes,
    ]
    if contract.none_of_these is not None:
        lines.append(
            "The last column is 1 where the image shows none of these: the model is not sure enough, or the "
            "picture is unlike those of the site. It is 0 elsewhere."
        )
    if alone:
        lines += [
            f"This reads {reads} by MONAI alone. Other files, such as DICOM, and pictures of other depths "
            f"need clinical-qkt {__version__}, which reads them as in its own bundles:",
            "    " + command.format(files=both),
        ]
    else:
        lines.append(
            f"The images are prepared by clinical-qkt {__version__}, which has to be installed: MONAI's own "
            "transforms do not place them on the contract's grid."
        )
    return "\n\n".join(lines) + "\n"


def text_of(contract: ExportContract) -> str:
    """The contract as the files hold it."""
    return json.dumps(contract.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
