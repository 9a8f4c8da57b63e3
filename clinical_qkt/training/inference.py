"""A network over a list of images, in order: logits, features and what its head is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from monai.data import Dataset
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from clinical_qkt.core.batches import for_images
from clinical_qkt.core.parts import InParts
from clinical_qkt.core.progress import bar
from clinical_qkt.core.rows import Rows
from clinical_qkt.core.runtime import laid_out, loader, not_too_far_ahead, stacked
from clinical_qkt.networks.extractor import Extractor, Pooling
from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.spec import find_head
from clinical_qkt.tasks.single_label import SINGLE_LABEL


class Images(Protocol):
    """Images in order, as MONAI's datasets and lists give them: ``{"image": tensor, …}``."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def labels_of(images: Images) -> Tensor:
    """``(N,)`` label positions; no image is read for them."""
    rows = images.data if isinstance(images, Dataset) else images
    return SINGLE_LABEL.targets(rows[i] for i in range(len(images)))


@torch.no_grad()
def logits_of(
    network: nn.Module,
    images: Images,
    device: torch.device,
    *,
    batch_size: int | None = None,
    what: str = "logits",
) -> Tensor:
    """A network's logits on a list of images.

    Args:
        network: takes ``(B, channels, *spatial_size)``.
        images: ``{"image": tensor}`` as MONAI's datasets give them.
        device: where it runs.
        batch_size: how many it is given at once; what memory holds by default.
        what: named in the progress bar, and in the error.

    Returns:
        ``(N, classes)`` float32 on the CPU.

    Raises:
        InputError: not even one image fits.
    """
    network = network.to(device).eval()
    size = batch_size or for_images(network, images, device, where=what)
    said, answers = Rows(len(images)), InParts(network, what)
    for batch in _batches(images, size, device, what):
        said.add(answers(batch).float())
    return said.all()


def _batches(images: Images, size: int, device: torch.device, what: str) -> Iterator[Tensor]:
    """The images in order, as the device computes fastest; a GPU need not wait for any of them."""
    batches = loader(
        images,
        batch_size=size,
        collate_fn=lambda items: stacked([torch.as_tensor(item["image"]) for item in items], device),
    )
    with bar(len(images), what) as told:
        for batch in not_too_far_ahead(batches, device):
            yield laid_out(batch)
            told.update(len(batch))


def features_of(extractor: Extractor, images: Images, device: torch.device) -> Tensor:
    """``(N, features)`` float64 on the CPU."""
    return outputs_of(extractor, images, device)[1].double()


@torch.no_grad()
def pooled_of(body: Pooling, images: Images, device: torch.device) -> Tensor:
    """``(N, pooled)`` float64 on the CPU; the network's later stages are not run."""
    body.to(device).eval()
    size = for_images(body, images, device, step=body.in_all_views, where="features")
    rows, views = Rows(len(images)), InParts(body.in_all_views, "features")
    for batch in _batches(images, size, device, "features"):
        rows.add(views(batch))
    body.to("cpu")
    return rows.all().double()


def outputs_of(extractor: Extractor, images: Images, device: torch.device) -> tuple[Tensor, Tensor]:
    """Logits of the extractor's network ``(N, classes)`` and features ``(N, features)``, on the CPU."""
    return _all(extractor, extractor, images, device)


@torch.no_grad()
def _all(
    body: Pooling, see: Callable[[Tensor], tuple[Tensor, Tensor]], images: Images, device: torch.device
) -> tuple[Tensor, Tensor]:
    body.to(device).eval()
    size = for_images(body, images, device, step=see, where="features")
    logits, numbers, both = Rows(len(images)), Rows(len(images)), InParts(see, "features")
    for batch in _batches(images, size, device, "features"):
        for rows, seen in zip((logits, numbers), both(batch), strict=True):
            rows.add(seen)
    body.to("cpu")
    return logits.all(), numbers.all()


@torch.no_grad()
def head_inputs(network: nn.Module, images: Images, device: torch.device) -> Tensor:
    """The frozen features: what arrives at the head, ``(N, features)``, on the CPU."""
    caught = Rows(len(images))
    head = network.get_submodule(find_head(network))
    with watching(lambda _, inputs, __: caught.add(inputs[0].float()), head):
        logits_of(network, images, device, what="features")
    return caught.all()


class PartsInferer(SimpleInferer):
    """MONAI's ``SimpleInferer``, with fewer images where the device's memory does not suffice."""

    def __init__(self) -> None:
        super().__init__()
        self.most: int | None = None

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Any:
        """What the network says of a batch; see ``InParts``."""
        parts = InParts(lambda images: network(images, *args, **kwargs), "evaluation", self.most)
        said = parts(inputs)
        self.most = parts.most
        return said


class Each(Sequence[dict[str, Any]]):
    """Images of which something else is said; nothing is read before it is asked for.

    Args:
        images: in order.
        said: from an image's position and what the list holds of it to what shall stand there.
    """

    def __init__(self, images: Images, said: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
        self.images, self.said = images, said

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        return self.said(range(len(self))[index], self.images[index])
