"""From a hospital's own images to a datalist and a site's YAML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from clinical_qkt.data.datalist import SECTIONS, load_datalist
from clinical_qkt.data.export import write_datalist, write_images
from clinical_qkt.data.images import warn_skipped
from clinical_qkt.data.sources import open_source
from clinical_qkt.errors import OutputError
from clinical_qkt.files import require_writable
from clinical_qkt.sites import write_site


def run_prepare(
    path: Path, out: Path, site: str, seed: int, *, allow_mixed_sizes: bool, console: Console
) -> None:
    """Write ``datalist.json`` and ``site.yaml``, and print what was found.

    Raises:
        QKTError: the source is wrong, or the folder holds something already.
    """
    source = open_source(path, seed, allow_mixed_sizes=allow_mixed_sizes)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError("is not an empty folder", where=str(out), fix="name a new folder with --out")
    require_writable(out, where="--out")
    out = out.absolute()
    write_datalist(out / "datalist.json", source, write_images(source, out / "images"), source.splits)
    data = load_datalist(out / "datalist.json", source.classes, allow_mixed_sizes=allow_mixed_sizes)
    write_site(
        out / "site.yaml",
        {
            "site": site,
            "data": str(out / "datalist.json"),
            "classes": source.classes.names,
            "output_dir": str(out / "results"),
            "channels": data.channels,
            "allow_mixed_sizes": allow_mixed_sizes,
            "seed": seed,
        },
    )
    table = Table(title=f"{source.name}: {len(source.labels)} images", title_justify="left")
    for heading in ("class", *SECTIONS):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for c, name in enumerate(source.classes.names):
        counts = (int(np.sum(source.labels[source.splits[s]] == c)) for s in SECTIONS)
        table.add_row(name, *map(str, counts))
    console.print(table)
    warn_skipped(source.left_out)
    for note in source.notes:
        console.print(f"note: {note}")
    console.print(f"Next: read and complete {out / 'site.yaml'}, then run the bundle's train.yaml with it.")
