"""How the images of a federation's sites look, as a figure."""

from __future__ import annotations

from pathlib import Path

from clinical_qkt.research.benchmark.federation import Federation
from clinical_qkt.research.contact_sheet import contact_sheet


def draw_looks(federation: Federation, path: Path) -> None:
    """A row a site, a column a class: a test image of each as the data have it and as every site shows it.

    Where sites have images of their own each shows one of its own.
    """
    source, test = federation.source, federation.source.splits["test"]
    rows = {}
    if federation.of_site is None:
        first = [int(test[source.labels[test] == c][0]) for c in range(len(source.classes))]
        rows["as in the data"] = [federation.prepared[i]["image"] for i in first]
    for site, name in enumerate(federation.names):
        mine = test if federation.of_site is None else test[federation.of_site[test] == site]
        first = [int(mine[source.labels[mine] == c][0]) for c in range(len(source.classes))]
        rows[name] = list(federation.images.of(site, first))
    pictures = {name: [federation.raw.intensities(i) for i in row] for name, row in rows.items()}
    contact_sheet(path, pictures, source.classes.names)
