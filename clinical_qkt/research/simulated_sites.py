"""The demo's hospitals: images are dealt to them, and each is described by a YAML file like a real one's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.data.datalist import Section
from clinical_qkt.data.export import write_datalist, write_images
from clinical_qkt.data.images import raw_image
from clinical_qkt.data.made_for import ImageFacts, fitting
from clinical_qkt.data.phantoms import phantom_source
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.exchange.sealing_keys import new_sealing_key
from clinical_qkt.packages import backbones
from clinical_qkt.packages.signing import new_key
from clinical_qkt.prepare import fit, machine
from clinical_qkt.research.demo_exchange import Carrier
from clinical_qkt.research.demo_exchange import section as at_desk
from clinical_qkt.research.partitions import Ask, choose_query
from clinical_qkt.research.shift import Shift
from clinical_qkt.research.simulated_looks import looks_of, require_pictures, write_looked, write_sheet
from clinical_qkt.site.config import write_site

SEEN, OF_STAGES, PENALTY = 96, "efficientnet_lite0_stages", 0.2
"""With a backbone: pixels along each side at least, the network with its weights, and the head's penalty."""
BUNDLE = "blood_cell_classification"
USUAL = 28
"""Pixels along each side of what the shipped bundles for pictures take unless told otherwise."""
SIMULATED = {
    "origin": "given to the hospital by the simulation, images of the queried classes too",
    "labelled_by": "whoever made the data set",
}
"""Where a demo's test images come from."""
FEW = 10
"""Of so many test images of a class on, hospitals that write letters tell counts: each has few."""
DEALT_OUT = "given to the hospital by the simulation, none of the queried classes"
"""The same where hospitals write letters."""
LOOKS = "looks.png"
"""In the demo's folder: how the sites' pictures look, where they differ."""
_KINDS = {"models": "private_mean", "statistics": "covariance", "private": "private_mean"}


@dataclass(frozen=True)
class DemoSettings:
    """What decides the demo's figures.

    Attributes:
        data: as for ``sources.open_source``; phantoms if None.
        sites, classes_per_site: of the simulated federation; by default three fifths of the classes.
        student, query: who asks for what; chosen by ``partitions.choose_query`` if None or empty.
        max_per_class: training images that are used of each class, at most.
        max_epochs: of each training; by default 8, more for small data.
        gained_from: what the other sites give: their models, exact statistics, or private means.
        bundle: that all sites run; empty for the shipped one that is made for the images.
        shift: how much the sites' pictures differ in look.
        backbone: whether all sites train the head alone of a network with ImageNet's weights.
        exchange: what carries packages between the sites; without one they are handed over in the demo's own
            process. With one, the student has no test images of the queried classes.
        processes: FLARE's are provisioned ones with mutual TLS, instead of its simulator's.
    """

    data: Path | None = None
    sites: int = 4
    classes_per_site: int | None = None
    student: str | None = None
    query: tuple[str, ...] = ()
    seed: int = 0
    max_per_class: int = 2500
    max_epochs: int | None = None
    allow_mixed_sizes: bool = False
    gained_from: Literal["models", "statistics", "private"] = "models"
    bundle: str = ""
    shift: Shift = "none"
    backbone: bool = False
    exchange: Carrier | None = None
    processes: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """All of them but what came later and is not used, so that a demo goes on that was begun before."""
        unused = {"shift": "none", "backbone": False, "exchange": None, "processes": False}
        return {k: v for k, v in asdict(self).items() if k not in unused or v != unused[k]}


def read(settings: DemoSettings) -> Source:
    """The images that are dealt to the sites.

    Raises:
        InputError: they cannot be read.
    """
    if settings.data is None:
        drawn, side = phantom_source(seed=settings.seed), SEEN if settings.backbone else USUAL
        how = "enlarged" if settings.backbone else "shrunk"
        told = f"phantoms are {how} to {side}x{side}, to be {'seen' if settings.backbone else 'quick'}"
        return replace(drawn, notes=[*drawn.notes, told])
    source = open_source(settings.data, settings.seed, allow_mixed_sizes=settings.allow_mixed_sizes)
    require_pictures(source, settings.shift)
    return source.limited(settings.max_per_class, settings.seed)


def bundle_for(source: Source) -> str:
    """The shipped bundle that is made for a source's images; the first one where none is."""
    if isinstance(source.images, list):
        image = raw_image(source.images[int(source.splits["training"][0])])
        facts = ImageFacts({image.kind}, image.shape[0], len(image.shape) - 1, {image.modality})
    else:
        facts = ImageFacts({"picture"}, 1 if source.images.ndim == 3 else 3, 2)
    return next(iter(fitting(facts)), BUNDLE)


def ask(settings: DemoSettings, source: Source, dealt: list[list[int]]) -> Ask:
    """Who asks for what.

    Raises:
        InputError: there is no such site or class.
    """
    sites = [f"hospital_{i + 1}" for i in range(len(dealt))]
    if settings.student is not None and settings.student not in sites:
        raise InputError(
            f"there is no site '{settings.student}'", where="--student", fix=one_of(settings.student, sites)
        )
    student = None if settings.student is None else sites.index(settings.student)
    wanted = []
    for name in settings.query:
        found = source.classes.find(name)
        if found is None:
            raise InputError(
                f"the data has no class '{name}'", where="--query", fix=one_of(name, source.classes.names)
            )
        wanted.append(found)
    return choose_query(dealt, student, wanted)


def write_federation(
    out: Path, source: Source, dealt: list[list[int]], ask: Ask, settings: DemoSettings
) -> list[str]:
    """Deal the images to the sites and write each site's datalist and YAML.

    Training and validation images of a class are shared out among the sites that have it. All sites are
    tested on the same test images of their classes; the student's test images show the queried classes too,
    which a real hospital would seldom have. Where they write letters, test images are dealt out like all
    others, and those who have the class measure. Each site has them in its own look, if sites differ in that.
    """
    pictures, root = out / "data" / "images", out.absolute()
    sites = [f"hospital_{i + 1}" for i in range(len(dealt))]
    looks = looks_of(source, len(sites), settings.shift, settings.seed)
    files = [] if looks else write_images(source, pictures)
    if looks:
        write_sheet(source, sites, looks, out / LOOKS)
    of_images = _image_keys(source)
    if settings.backbone:
        of_images |= _with_backbone(of_images, root)
    for i, (site, share) in enumerate(zip(sites, _shares(source, dealt, ask, settings), strict=True)):
        if looks:
            files = write_looked(source, sorted(chain(*share.values())), looks[i], pictures / site)
        write_datalist(root / "data" / f"{site}.json", source, files, share)
        usual = fit.epochs_for(len(share["training"]))
        epochs = settings.max_epochs or usual
        own = {**of_images, "max_epochs": epochs, **_batch_keys(of_images, len(share["training"]))}
        values = _of_site(root, sites, i, [source.classes.names[c] for c in dealt[i]], own, settings)
        if i == ask.student:
            values |= _of_student(root, sites, i, [source.classes.names[c] for c in ask.classes], settings)
        write_site(root / "sites" / f"{site}.yaml", values)
        if not (root / "keys" / f"{site}.pub").is_file():
            (root / "keys" / f"{site}.key").unlink(missing_ok=True)  # of a demo that was cut off just here
            new_key(site, root / "keys")
        if not (root / "keys" / f"{site}.sealing.pub").is_file():
            (root / "keys" / f"{site}.sealing").unlink(missing_ok=True)
            new_sealing_key(site, root / "keys" / f"{site}.sealing", root / "keys" / f"{site}.key")
    return sites


def _shares(
    source: Source, dealt: list[list[int]], ask: Ask, settings: DemoSettings
) -> list[dict[Section, list[int]]]:
    """Which images each site gets, by section."""
    rng = np.random.default_rng([settings.seed, 1])
    shares: list[dict[Section, list[int]]] = [{"training": [], "validation": [], "test": []} for _ in dealt]
    for c in range(len(source.classes)):
        holders = [i for i, mine in enumerate(dealt) if c in mine]
        for section, positions in source.splits.items():
            of_class = positions[source.labels[positions] == c]
            if section == "test" and settings.exchange is None:
                for i, mine in enumerate(dealt):
                    if c in mine or (i == ask.student and c in ask.classes):
                        shares[i][section] += of_class.tolist()
            else:
                for i, part in zip(
                    holders, np.array_split(rng.permutation(of_class), len(holders)), strict=True
                ):
                    shares[i][section] += sorted(part.tolist())
    return shares


def _of_site(
    root: Path, sites: list[str], i: int, classes: list[str], own: dict[str, Any], settings: DemoSettings
) -> dict[str, Any]:
    """What every site's YAML says.

    Args:
        sites, i: all of them, and which one it is.
        own: what follows from its images.
    """
    site = sites[i]
    return {
        "site": site,
        "bundle": settings.bundle,
        "data": str(root / "data" / f"{site}.json"),
        "classes": classes,
        "output_dir": str(root / "hospitals" / site),
        "ledger": str(root / "hospitals" / site / "ledger.db"),
        "package_dir": str(root / "packages" / site),
        "mlflow": f"sqlite:///{root / 'mlflow.db'}",
        **own,
        "policy": {"kinds": [_KINDS[settings.gained_from]], "unit": "image"},
        "allow_mixed_sizes": settings.allow_mixed_sizes,
        "seed": settings.seed,
        "signing_key": str(root / "keys" / f"{site}.key"),
        "exchange": at_desk(root, sites, i, settings.exchange),
        **({"assess": {"minimum_images": FEW}} if settings.exchange else {}),
        "trusted_keys": {other: str(root / "keys" / f"{other}.pub") for other in sites if other != site},
    }


def _of_student(
    root: Path, sites: list[str], i: int, query: list[str], settings: DemoSettings
) -> dict[str, Any]:
    """What the student's says besides."""
    return {
        "test_data": SIMULATED | ({"origin": DEALT_OUT} if settings.exchange else {}),
        "query": query,
        "query_dir": str(root / "packages" / "query"),
        "teachers" if settings.gained_from == "models" else "responses": [
            str(root / "packages" / other) for j, other in enumerate(sites) if j != i
        ],
        "transfer_dir": str(root),
        **({"acceptance": {"evidence": "others"}} if settings.exchange else {}),
    }


def _image_keys(source: Source) -> dict[str, Any]:
    """What the sites' YAML says of the images; pictures larger than the bundle's size keep theirs."""
    first = int(source.splits["training"][0])
    if isinstance(source.images, list):
        shape = raw_image(source.images[first]).shape
    else:
        _, height, width, *colours = source.images.shape
        shape = (colours[0] if colours else 1, width, height)
    keys: dict[str, Any] = {"channels": shape[0]}
    if len(shape) == 3 and max(shape[1:]) > USUAL and not source.generated:
        size = fit.flat_size(shape[1:])
        network = fit.network(size, len(source.splits["training"]) // 2)
        keys |= {"spatial_size": size, network.key: network.value}
    return keys


def _batch_keys(of_images: Mapping[str, Any], training_images: int) -> dict[str, Any]:
    """What a site's YAML says of batches: of large pictures, unless the head alone is fitted, at once."""
    if "spatial_size" not in of_images or "head_penalty" in of_images:
        return {}
    size = of_images["spatial_size"]
    step = machine.step(of_images["architecture"], (of_images["channels"], *size))
    chosen = fit.batch(size, training_images, step, machine.room())
    return {chosen.key: chosen.value}


def _with_backbone(keys: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """What the sites' YAML says where all fit the head alone of a network with ImageNet's weights.

    Raises:
        InputError: the weights are not installed; or the pictures have no colours.
    """
    if keys["channels"] != 3:
        raise InputError(
            "has pictures without colours, of which ImageNet's weights know nothing",
            where="--backbone",
            fix="leave it out, or give colour pictures with --data",
        )
    file = root / "lite0.safetensors"
    if not file.is_file():
        backbones.lite0(file)
    size = [max(side, SEEN) for side in keys.get("spatial_size", [USUAL, USUAL])]
    weights = {"architecture": OF_STAGES, "pretrained": str(file)}
    return {"spatial_size": size, **weights, "trained_layers": "head", "head_penalty": PENALTY}
