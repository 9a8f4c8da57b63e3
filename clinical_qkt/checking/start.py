"""What a training starts from: a network that is made for such images, and the weights that it is given."""

from __future__ import annotations

from collections.abc import Iterator

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.bundle.start import read_pretrained
from clinical_qkt.checking.finding import Finding
from clinical_qkt.networks.registry import FOR_SMALL, LARGE
from clinical_qkt.packages.pretrained import UNKNOWN

BETTER = "efficientnet_lite0, resnet18_standard or another of docs/reference/input-contract.md"


def findings(stage: Stage) -> Iterator[Finding]:
    """Before a training: the network, and pretrained weights where the site names some.

    Raises:
        InputError: the weights are refused.
    """
    if stage.command == "train":
        yield from _network(stage)
        yield from _weights(stage)


def _network(stage: Stage) -> Iterator[Finding]:
    name, size = stage.site.architecture, stage.site.spatial_size
    if name in FOR_SMALL and max(size) > LARGE:
        told = (
            f"{name} is made for pictures of up to 64 pixels, and these have {'x'.join(map(str, size))}: its "
            "first layer looks at every pixel, which costs much, and sees little of the whole"
        )
        yield Finding("warning", "architecture", told, f"take {BETTER}")


def _weights(stage: Stage) -> Iterator[Finding]:
    found = read_pretrained(stage.site, stage.value("spec"))
    if found is None:
        return
    given, about = stage.value("contract"), found.about
    taken = f"{len(found.tensors)} tensors fit, {len(found.new)} of the head are new"
    yield Finding("ok", "pretrained", f"{about.told}: {taken}")
    unknown = [word for word in ("source", "licence") if getattr(about, word) == UNKNOWN]
    if unknown:
        fix = "ask whoever made them, and write the file again with `clinical-qkt weights convert`"
        yield Finding("warning", "pretrained", f"unknown: {', '.join(unknown)}; so the card will say", fix)
    wanted = found.normalisation.wanted(given) if found.normalisation else None
    if wanted:
        told = "the weights expect images normalised in another way"
        yield Finding("warning", "pretrained", told, f"write input: {wanted} into the site's YAML")
