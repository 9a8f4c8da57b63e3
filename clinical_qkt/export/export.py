"""From a package to a folder that other programs use: verified, compared, and put in place as a whole."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clinical_qkt.core.errors import InputError, OutputError, PackageError
from clinical_qkt.core.files import require_writable, sha256, write_text
from clinical_qkt.evidence import gate_file
from clinical_qkt.evidence.gate import Door
from clinical_qkt.evidence.gate_file import read_gate
from clinical_qkt.export import contract as contracts
from clinical_qkt.export import monai_bundle, onnx_file, torchscript
from clinical_qkt.export.compared import Exported as Read
from clinical_qkt.export.compared import compared
from clinical_qkt.export.contract import ExportContract, Format
from clinical_qkt.export.from_raw import from_raw
from clinical_qkt.export.gate import Gated
from clinical_qkt.packages.model import Model, is_model, load_model
from clinical_qkt.packages.signing import Trust
from clinical_qkt.packages.writer import SUMS

FILES: dict[Format, str] = {
    "torchscript": torchscript.FILE,
    "onnx": onnx_file.FILE,
    "bundle": monai_bundle.MODEL,
}
"""Of the model, in the folder."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        model: the source, verified.
    """

    folder: Path
    contract: ExportContract
    model: Model


def export(
    source: Path, out: Path, made_as: Format, trust: Trust | None, *, with_gate: bool = False
) -> Exported:
    """Write a package's model for other programs, with its contract and ``SHA256SUMS``.

    Args:
        source: a package's folder, or that of a transfer or training that has one in it, ``model``.
        out: a folder that does not exist, or is empty.
        trust: whose packages are taken; None: signatures are not looked at.
        with_gate: the gate beside the model comes along, as a second output.

    Raises:
        PackageError: the package is refused.
        InputError: the model cannot be exported so, or would not say the same, or has no gate where one is
            wanted; nothing is written.
        OutputError: the folder holds something.
    """
    require_new(out)
    if made_as == "onnx":
        onnx_file.require_installed()
    model = load_model(package_of(source), trust)
    door = gate_of(model) if with_gate else None
    require_writable(out.parent)
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    part.mkdir()
    try:
        contract = _write(part, model, made_as, door)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(out, contract, model)


def require_new(out: Path) -> None:
    """
    Raises:
        OutputError: there is something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError("is not an empty folder", where=str(out), fix="name a new folder")


def package_of(source: Path) -> Path:
    """The package that is meant.

    Raises:
        PackageError: there is no such folder.
    """
    if not source.is_dir():
        raise PackageError("there is no such folder", where=str(source), fix="check the path")
    return source / "model" if not is_model(source) and (source / "model").is_dir() else source


def gate_of(model: Model) -> Door:
    """The gate beside a model's folder.

    Raises:
        InputError: there is none, or that of another model.
    """
    door = read_gate(model.folder, model.card.weights_sha256)
    if door is None:
        raise InputError(
            "no gate lies beside this model: a transfer writes one where it has validation images",
            where=str(model.folder.parent / gate_file.FILE),
            fix="export without --gate, or name the folder in which the transfer wrote the model",
        )
    return door


def _write(folder: Path, model: Model, made_as: Format, door: Door | None) -> ExportContract:
    file = folder / FILES[made_as]
    file.parent.mkdir(parents=True, exist_ok=True)
    keep, read = _made(model, made_as, door)
    # Twice: what is compared is a file that was read back, and the file in place tells what was found.
    keep(file, "")
    found = compared(from_raw(model), read(file), door)
    contract = contracts.of(model, made_as, found, door)
    text = monai_bundle.text_of(contract)
    keep(file, text)
    write_text(folder / contracts.FILE, text)
    if made_as == "bundle":
        monai_bundle.write(folder, contract)
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    write_text(folder / SUMS, "".join(f"{sha256(folder / n)}  {n.as_posix()}\n" for n in names))
    return contract


def _made(
    model: Model, made_as: Format, door: Door | None
) -> tuple[Callable[[Path, str], None], Callable[[Path], Read]]:
    """What writes the model into a file with a contract, and what reads it back."""
    plain, given = from_raw(model), model.card.input
    network = plain if door is None else Gated(plain, door).eval()
    if made_as != "onnx":
        script = torchscript.recorded(network, given)
        return lambda file, text: torchscript.write(file, script, text), torchscript.load
    onnx_file.require_small(network)
    program = onnx_file.program(network, given)
    return lambda file, text: onnx_file.write(file, program, text), onnx_file.load
