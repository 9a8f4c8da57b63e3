"""A pass goes on with fewer images at once where memory does not suffice, and says so."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from clinical_qkt.core.parts import InParts

MB = 2**20


class Narrow:
    """A step of a device that holds so many images; counts the images of each call."""

    def __init__(self, holds: int) -> None:
        self.holds, self.calls = holds, []

    def __call__(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls.append(len(images))
        if len(images) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return images * 2, {"sum": images.flatten(1).sum(1)}


@pytest.fixture
def little_memory() -> Iterator[None]:
    """The system gives this process no more than 300 MB on top."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 300 * MB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("images", [1, 2, 7, 16, 17])
@pytest.mark.parametrize("holds", [1, 3, 5, 100])
def test_every_image_is_answered_for_in_order_whatever_the_device_holds(images, holds, capfd):
    given = torch.arange(images * 3.0).view(images, 3)
    doubled, more = InParts(Narrow(holds), "targets")(given)
    assert torch.equal(doubled, given * 2) and torch.equal(more["sum"], given.sum(1))
    assert ("warning: targets: the memory does not suffice" in capfd.readouterr().err) == (images > holds)


def test_later_batches_are_given_as_many_as_were_held_and_it_is_said_once(capfd):
    step = Narrow(3)
    parts = InParts(step, "targets")
    parts(torch.zeros(8, 1))
    assert step.calls == [8, 4, 2, 2, 2, 2]
    parts(torch.zeros(8, 1))
    assert step.calls[6:] == [2] * 4
    told = capfd.readouterr().err.splitlines()
    assert told == [
        "warning: targets: the memory does not suffice for 8 images at once; going on with 4",
        "warning: targets: the memory does not suffice for 4 images at once; going on with 2",
    ]


def test_what_was_answered_is_not_asked_again():
    class Filling(Narrow):
        """Another program takes memory while it is at it."""

        def __call__(self, images):
            self.holds = 4 if len(self.calls) < 2 else 2
            return super().__call__(images)

    step, given = Filling(4), torch.arange(12.0).view(12, 1)
    doubled, _ = InParts(step, "targets", most=4)(given)
    assert step.calls == [4, 4, 4, 2, 2] and torch.equal(doubled, given * 2)


def test_a_single_image_that_does_not_fit_and_any_other_error_are_the_callers():
    with pytest.raises(torch.OutOfMemoryError):
        InParts(Narrow(0), "targets")(torch.zeros(4, 1))

    def bug(_: Tensor) -> Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        InParts(bug, "targets")(torch.zeros(4, 1))


def test_no_images_have_no_answers():
    doubled, _ = InParts(Narrow(4), "targets")(torch.zeros(0, 3))
    assert doubled.shape == (0, 3)


def test_where_the_system_gives_no_more_memory_the_same_is_answered_by_fewer_at_once(little_memory, capfd):
    class Wide(nn.Module):
        """Makes 64 MB of an image."""

        def forward(self, images: Tensor) -> Tensor:
            return images.repeat(1, 16 * MB).sum(1)

    said = InParts(Wide(), "wide network")(torch.arange(16.0).view(16, 1))
    assert torch.allclose(said, torch.arange(16.0) * 16 * MB)
    assert "warning: wide network: the memory does not suffice for 16 images" in capfd.readouterr().err
