"""What memory and time stages take with so many images, and with twice as many.

    python -m clinical_qkt.research.benchmark.scale [--images 200] [--pixels 512] [--out DIR]
        [--architecture NAME] [--image-cache disk] [--pretrained FILE.safetensors] [--once]

Generated pictures of two classes at a site that asks for a third, and at one that answers. Each stage runs in
a process of its own, as `clinical-qkt` runs it, for one epoch; its peak is the most that the process held
(VmHWM). From so many and twice as many follows what one more image takes. By default prepared images are on
disk, as they are by themselves where there are many: in memory a section takes up to 0.5 GB on top, however
many there are, see ``data.image_cache``. With ``--pretrained`` the head alone is fitted, to what a network
with these weights gives it. The stages that end in "again" are the sites' next query, with what is kept of
the first. ``--once`` runs so many images and not twice as many; ``--go-on`` goes on with what an earlier run
left in ``--out``, after the last stage that it measured.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import require_writable, write_json
from clinical_qkt.core.state_folder import STATE
from clinical_qkt.core.terms import ImageCache
from clinical_qkt.prepare import fit, machine

MANY = 20_000
"""Images to which figures are extended."""
ENOUGH = 200
"""Images below which nothing is extended: a section's batches are not full yet, and grow with the images."""
AGAIN = ("query again", "answer again", "transfer again")
"""The next query of the same sites, with what is kept of the first one."""
STAGES = ("prepare", "train", "query", "answer", "transfer", *AGAIN)
BUNDLE = "blood_cell_classification"
FIGURES = "scale.json"


@dataclass(frozen=True)
class Setting:
    """What the sites have.

    Attributes:
        pixels: along each side of their pictures.
        architecture, image_cache: as in a site's YAML.
        pretrained: weights, on which the head alone is fitted; None: all is trained.
    """

    pixels: int
    architecture: str
    image_cache: ImageCache
    pretrained: Path | None = None

    @property
    def batch_size(self) -> int:
        """What ``prepare`` chooses for thousands of such images and this network."""
        size = [self.pixels, self.pixels]
        step = machine.step(self.architecture, (3, *size))
        return fit.batch(size, MANY, step, machine.room()).value

    @property
    def facts(self) -> dict[str, Any]:
        """For the file of figures."""
        told = {"pixels": self.pixels, "architecture": self.architecture, "image_cache": self.image_cache}
        if self.pretrained is None:
            return {**told, "batch_size": self.batch_size}
        return {**told, "pretrained": self.pretrained.name}


def measure(
    counts: Sequence[int], setting: Setting, out: Path, measured: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Peak memory in MB and seconds of each stage, with each number of images; told anew after each stage.

    Args:
        measured: what an earlier run told last, of the same setting.

    Raises:
        OutputError: a stage failed; names its log.
    """
    found: dict[str, Any] = {name: {} for name in STAGES} | (measured or {}).get("stages", {})
    for count in counts:
        folder = out / f"run_{count}"
        if str(count) not in found[STAGES[0]]:
            draw(folder, count, setting.pixels)
        for name, words in stages(folder, setting):
            if str(count) not in found[name]:
                found[name][str(count)] = run(words, folder)
            yield {"images": counts[0], **setting.facts, "stages": found}


def draw(folder: Path, images: int, pixels: int) -> None:
    """Pictures of two sites, each with two classes: discs of a colour a class on a mottled ground."""
    draws = np.random.default_rng(0)
    places = np.stack(np.meshgrid(np.arange(pixels), np.arange(pixels)))
    for k in range(images):
        coarse = draws.integers(0, 256, (pixels // 16, pixels // 16, 3)).astype(np.uint8)
        picture = np.array(Image.fromarray(coarse).resize((pixels, pixels), Image.Resampling.BICUBIC))
        centre = draws.uniform(0.3, 0.7, (2, 1, 1)) * pixels
        disc = ((places - centre) ** 2).sum(0) < (0.15 * pixels) ** 2
        picture[disc] = [200, 40, 160] if k % 2 else [60, 60, 200]
        for site, names in (("drawn_1", "ab"), ("drawn_2", "bc")):
            file = folder / site / names[k % 2] / f"{k:06d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file, quality=85)


def stages(folder: Path, setting: Setting) -> Iterator[tuple[str, list[str]]]:
    """Each stage that is measured, as the words of its command; what they need besides is run on the way."""
    ours, theirs = folder / "prepared_1", folder / "prepared_2"
    yield "prepare", ["prepare", str(folder / "drawn_1"), "--out", str(ours), "--site", "asks"]
    if not (theirs / "site.yaml").is_file():
        run(["prepare", str(folder / "drawn_2"), "--out", str(theirs), "--site", "answers"], folder)
    size = f"[{setting.pixels},{setting.pixels}]"
    how = ["--bundle", BUNDLE, "--spatial_size", size, "--architecture", setting.architecture]
    how += ["--mlflow", f"sqlite:///{folder.absolute()}/mlflow.db", "--untrusted_packages", "accept"]
    how += ["--image_cache", setting.image_cache, "--batch_size", str(setting.batch_size)]
    if setting.pretrained is not None:
        how += ["--pretrained", str(setting.pretrained.absolute())]
        how += ["--trained_layers", "head", "--head_penalty", "0.2"]
    asking = [str(ours / "site.yaml"), *how, "--output_dir", str(folder / "runs")]
    yield "train", ["run", "train", *asking, "--max_epochs", "1"]
    query = ["run", "query", *asking, "--query", "[c]", "--yes", "true", "--settings::mirror_axes", "[]"]
    yield "query", query
    policy = ["--policy", "{kinds: [covariance], unit: image, minimum_patients: 2}", "--yes", "true"]
    answer = ["--request", str(folder / "runs/query"), "--response_dir", str(folder / "response"), *policy]
    answering = [str(theirs / "site.yaml"), *how, "--output_dir", str(folder / "their_runs")]
    answer = ["run", "answer", *answering, *answer]
    yield "answer", [*answer, "--new_ledger", "true"]
    transfer = ["run", "transfer", *asking, "--query", "[c]", "--responses", f"['{folder / 'response'}']"]
    yield "transfer", transfer
    for name, words in zip(AGAIN, (query, answer, transfer), strict=True):
        yield name, [*words, "--overwrite", "true"]


def run(words: list[str], folder: Path) -> dict[str, float]:
    """A command in a process of its own: its peak of memory and its seconds.

    Raises:
        OutputError: it failed.
    """
    log = folder / "log.txt"
    here, there = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=_command, args=(words, folder, log, there))
    process.start()
    there.close()
    try:
        code, peak, seconds = here.recv()
    except EOFError:
        code, peak, seconds = 1, 0.0, 0.0
    process.join()
    if code:
        raise OutputError(f"`{' '.join(words[:2])}` failed", where=str(log), fix="read its end")
    return {"peak_mb": round(peak, 1), "seconds": round(seconds, 1)}


def _command(words: list[str], folder: Path, log: Path, told: Connection) -> None:
    with log.open("ab") as text:
        os.dup2(text.fileno(), 1)
        os.dup2(text.fileno(), 2)
    os.environ[STATE] = str((folder / "state").absolute())
    sys.argv, start = ["clinical-qkt", *words], time.perf_counter()
    code = 0
    try:
        runpy.run_module("clinical_qkt", run_name="__main__")
    except SystemExit as e:
        code = int(e.code or 0)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    told.send((code, peak * 1024 / 1e6, time.perf_counter() - start))


def table(found: dict[str, Any]) -> str:
    """The figures as a table in Markdown; seconds and images a second by what one more image takes."""
    few, many = found["images"], 2 * found["images"]
    if not any(str(many) in at for at in found["stages"].values()):
        return _table_of_one(found)
    head = f"| stage | MB, {few} images | MB, {many} images | MB more an image | GB, {MANY:,} images |"
    lines = [f"{head} images a second |", "| --- " + "| ---: " * 5 + "|"]
    for name, at in found["stages"].items():
        first, second = (at[str(count)] for count in (few, many))
        each = max(0.0, second["peak_mb"] - first["peak_mb"]) / few
        held = f"{(second['peak_mb'] + each * (MANY - many)) / 1000:.1f}" if few >= ENOUGH else "too few"
        slower = second["seconds"] - first["seconds"]
        rate = f"{few / slower:,.1f}" if slower > 0.02 * second["seconds"] else "no more time"
        peaks = f"{first['peak_mb']:,.0f} | {second['peak_mb']:,.0f}"
        lines.append(f"| {name} | {peaks} | {each:.3f} | {held} | {rate} |")
    return "\n".join(lines)


def _table_of_one(found: dict[str, Any]) -> str:
    few = found["images"]
    lines = [f"| stage | GB, {few:,} images | minutes | images a second |", "| --- " + "| ---: " * 3 + "|"]
    for name, at in found["stages"].items():
        if one := at.get(str(few)):
            took = f"{one['seconds'] / 60:.1f} | {few / one['seconds']:,.1f}"
            lines.append(f"| {name} | {one['peak_mb'] / 1000:.1f} | {took} |")
    return "\n".join(lines)


def main(
    images: Annotated[int, typer.Option(min=40, help="Of each site; then twice as many.")] = 200,
    pixels: Annotated[int, typer.Option(min=32, max=4096)] = 512,
    architecture: Annotated[str, typer.Option(help="As in a site's YAML.")] = "efficientnet_small",
    image_cache: Annotated[str, typer.Option(help="As in a site's YAML.")] = "disk",
    pretrained: Annotated[Path | None, typer.Option(help="Its weights; the head alone is fitted.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Not twice as many, too.")] = False,
    go_on: Annotated[bool, typer.Option("--go-on", help="With what an earlier run left.")] = False,
    out: Annotated[Path, typer.Option(help="What is drawn and run; emptied first.")] = Path("runs/scale"),
) -> None:
    """Print what memory and time each stage takes, and one more image."""
    if out.is_dir() and not (out / FIGURES).is_file() and any(out.iterdir()):
        raise OutputError(
            "holds files that are not this benchmark's", where=str(out), fix="name another folder"
        )
    setting = Setting(pixels, architecture, image_cache, pretrained)  # type: ignore[arg-type]
    measured: dict[str, Any] = {}
    if go_on and (out / FIGURES).is_file():
        measured = json.loads((out / FIGURES).read_text(encoding="utf-8"))
        told = {k: v for k, v in measured.items() if k != "stages"}
        if told and told != {"images": images, **setting.facts}:
            fix = "give the same options, or leave out --go-on to begin anew"
            raise OutputError("was measured with other options", where=str(out / FIGURES), fix=fix)
    else:
        shutil.rmtree(out, ignore_errors=True)
    require_writable(out, where="--out")
    write_json(out / FIGURES, measured)
    for told in measure([images] if once else [images, 2 * images], setting, out, measured):
        measured = told
        write_json(out / FIGURES, measured)
    Console().print(table(measured), soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
