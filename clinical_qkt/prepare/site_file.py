"""The site's YAML as ``prepare`` writes it: complete, with a reason beside every choice."""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import write_text
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.version import __version__
from clinical_qkt.data.made_for import ImageFacts, fitting
from clinical_qkt.prepare import fit, machine
from clinical_qkt.prepare.findings import Found
from clinical_qkt.prepare.fit import Chosen

OTHERS = """
# When you share, ask or gain classes, these come in as well: docs/reference/site-yaml.md
# signing_key: keys/{site}.key   # `clinical-qkt keys new {site}` makes it
# trusted_keys: {{hospital_b: keys/hospital_b.pub}}
# query: [a class that you lack]
# teachers: [packages/hospital_b]
# forgetting_budget: 2.0   # points of recall on your own classes that you are willing to lose
"""


def require_pseudonym(site: str) -> None:
    """Refuse a name that no package could bear, before any file is opened.

    Raises:
        InputError: with a name that would do.
    """
    if not re.fullmatch(PSEUDONYM, site):
        plain = unicodedata.normalize("NFKD", site).encode("ascii", "ignore").decode()
        better = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:64] or "hospital_a"
        raise InputError(
            f"'{site}' is no pseudonym: it has to be of letters from A to Z, digits, '_', '.' and '-', and "
            "to begin with a letter or digit",
            where="--site",
            fix=f"give e.g. --site {better}; it goes onto the card of every package that you share",
        )


@dataclass(frozen=True)
class SiteFile:
    """What a site's YAML says.

    Args:
        site: the pseudonym.
        out: the folder of the datalist.
        classes: in the model's order.
        images: all that are used.
        training_images: how many of them are for training.
        intensity: what values mean, where that is not the bundle's default.
        longest_side: to which larger images are shrunk; see ``fit.sizes``.
    """

    site: str
    out: Path
    classes: Sequence[str]
    images: Sequence[Found]
    training_images: int
    seed: int
    allow_mixed_sizes: bool
    hounsfield: bool = False
    longest_side: int | None = None
    chosen: list[Chosen] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chosen", self._chosen())

    @property
    def notes(self) -> list[str]:
        """What a person should know of the choices before training."""
        told = [c.note for c in self.chosen if c.note]
        if self.bundle is None:
            told.append(
                f"no shipped bundle is made for such images: {self._wanted()}; 'bundle' waits for yours"
            )
        if len(self.classes) < 2:
            told.append(
                "there is one class: a classifier needs two, so this site can answer queries and no more"
            )
        return told

    @property
    def bundle(self) -> str | None:
        """The shipped bundle that is made for the images."""
        return next(iter(fitting(self._facts())), None)

    def write(self, path: Path) -> None:
        """Write it."""
        lines = [
            f"# {self.site}, as `clinical-qkt prepare` {__version__} made it of your images.",
            "# A reason stands above each key; change what you know better: docs/reference/site-yaml.md",
            f"# Next: clinical-qkt check {shlex.quote(str(path))}",
            f"#       clinical-qkt run train {shlex.quote(str(path))}",
        ]
        for one in self.chosen:
            lines += ["", f"# {one.why}", _yaml(one.key, one.value)]
        write_text(path, "\n".join(lines) + "\n" + OTHERS.format(site=self.site))

    def _chosen(self) -> list[Chosen]:
        sizes = fit.sizes(self.images, self.longest_side)
        size, channels, images = sizes[0].value, self.images[0].shape[0], self.training_images
        network = fit.network(size, images, gpu=machine.has_gpu())
        step = machine.step(network.value, (channels, *size))
        bundle = Chosen("bundle", self.bundle, f"what `clinical-qkt run` runs; made for {self._wanted()}")
        if self.bundle is None:
            bundle = Chosen(
                "bundle", "", f"no shipped bundle is made for {self._wanted()}: name the folder of yours"
            )
        paths = [
            ("data", "datalist.json", "the images, with labels and patients"),
            ("output_dir", "results", ""),
        ]
        data, results = (Chosen(key, str(self.out / name), why) for key, name, why in paths)
        return [
            Chosen("site", self.site, "a pseudonym: it stands on the card of every package that leaves"),
            bundle,
            data,
            Chosen(
                "classes",
                list(self.classes),
                "other sites' names for them, and codes: docs/how-to/match-label-lists.md",
            ),
            Chosen(results.key, results.value, "where the model and all results go"),
            Chosen("channels", channels, "1 grey, 3 colour"),
            *sizes,
            *self._intensity(),
            network,
            fit.batch(size, images, step, machine.room()),
            fit.epochs(images),
            Chosen("allow_mixed_sizes", self.allow_mixed_sizes, "whether images may differ in size"),
            Chosen("seed", self.seed, "the same seed gives the same figures"),
        ]

    def _intensity(self) -> list[Chosen]:
        if not self.hounsfield:
            return []
        return [Chosen("input::intensity", "HU", "values are Hounsfield units"), fit.window(self.images)]

    def _facts(self) -> ImageFacts:
        first = self.images[0]
        modalities = {f.slice.modality for f in self.images if f.slice}
        return ImageFacts({f.kind for f in self.images}, first.shape[0], len(first.shape) - 1, modalities)

    def _wanted(self) -> str:
        facts = self._facts()
        colour = "grey" if facts.channels == 1 else "colour"
        kind = {"picture": "pictures", "dicom": "DICOM images", "nifti": "NIfTI volumes"}[self.images[0].kind]
        named = ", ".join(sorted(set(facts.modalities) - {""}))
        return f"{colour} {kind}" + (f" ({named})" if named else "")


def _yaml(key: str, value: Any) -> str:
    """One key; a list of names one a line, numbers in one line."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        return yaml.safe_dump({key: value}, allow_unicode=True, width=1000).rstrip()
    if isinstance(value, list):
        return f"{_key(key)}: {json.dumps(value)}"
    return yaml.safe_dump({key: value}, allow_unicode=True, width=1000).rstrip()


def _key(key: str) -> str:
    return yaml.safe_dump(key, width=1000).splitlines()[0]
