"""ONNX: one file, whose metadata hold the contract."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.export.from_raw import FromRaw
from clinical_qkt.export.gate import Gated

FILE, CONTRACT = "model.onnx", "contract.json"
INPUT, OUTPUT, GATE = "image", "logits", "none_of_these"
LARGEST = 2 * 10**9
"""Bytes of the weights: an ONNX file is one message of protobuf, which holds no more."""
NEEDED = "pip install 'clinical-qkt[export]'"


def require_installed() -> None:
    """Refuse early where what writes and runs ONNX is not there.

    Raises:
        InputError: says how to install it.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as e:
        raise InputError(
            f"ONNX needs '{e.name}', which is not installed", where="--format onnx", fix=NEEDED
        ) from None


def require_small(network: nn.Module) -> None:
    """
    Raises:
        InputError: the weights do not fit into one file.
    """
    size = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    if size > LARGEST:
        raise InputError(
            f"the weights take {size:,} bytes, and an ONNX file holds 2,000,000,000",
            where="--format onnx",
            fix="export it as torchscript",
        )


def program(network: FromRaw | Gated, contract: InputContract) -> Any:
    """The network as an ONNX program whose batches may have any size.

    Args:
        network: changed in place, and of no use afterwards.
    """
    from clinical_qkt.export.onnx_opinion import with_operators
    from clinical_qkt.export.onnx_translation import joint_opinion

    low, high = contract.intensity_range
    example = torch.full((2, contract.channels, *contract.spatial_size), (low + high) / 2)
    with torch.no_grad(), _quiet():
        network(example)
        shapes = {INPUT: {0: torch.export.Dim("batch", min=1)}}
        graph = torch.export.export(with_operators(network), (example,), dynamic_shapes=shapes, strict=False)
        aten = torch.ops.aten
        table = {aten.fft_fftfreq.default: _frequencies, aten.fft_rfftfreq.default: _half_frequencies}
        return torch.onnx.export(
            graph.run_decompositions(table),
            input_names=[INPUT],
            output_names=[OUTPUT, GATE] if isinstance(network, Gated) else [OUTPUT],
            dynamo=True,
            external_data=False,
            verbose=False,
            custom_translation_table={torch.ops.clinical_qkt.joint_opinion.default: joint_opinion},
        )


def write(path: Path, made: Any, contract: str) -> None:
    """Write the file with the contract under ``contract.json`` in its metadata."""
    made.model.metadata_props[CONTRACT] = contract
    made.save(path)


def load(path: Path) -> Callable[[Tensor], Tensor | tuple[Tensor, Tensor]]:
    """The file as ONNX Runtime runs it on the CPU; with a gate both outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits, *missed = map(torch.from_numpy, session.run(None, {INPUT: image.numpy()}))
        return (logits, missed[0]) if missed else logits

    return run


def _frequencies(n: int, d: float = 1.0, *, dtype: torch.dtype, **_: Any) -> Tensor:
    """``torch.fft.fftfreq``, which ONNX does not have."""
    return ((torch.arange(n, dtype=dtype) + n // 2) % n - n // 2) / (n * d)


def _half_frequencies(n: int, d: float = 1.0, *, dtype: torch.dtype, **_: Any) -> Tensor:
    return torch.arange(n // 2 + 1, dtype=dtype) / (n * d)


@contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter says of its own parts is for nobody here."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
