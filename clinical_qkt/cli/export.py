"""The command ``export``: what it prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from clinical_qkt.export.contract import Format
from clinical_qkt.export.export import FILES, export
from clinical_qkt.export.monai_bundle import stands_alone
from clinical_qkt.packages.inspect import told
from clinical_qkt.packages.signing import Trust


def run_export(
    source: Path, out: Path, made_as: Format, trust: Trust | None, with_gate: bool, console: Console
) -> None:
    """Export a model and say what was written; see ``export.export``."""
    console.print("comparing the exported model with the original", highlight=False)
    done = export(source, out, made_as, trust, with_gate=with_gate)
    found, given = done.contract.compared, done.contract.prepared
    lines = [
        f"source: {done.model.folder}, of '{done.model.card.site}'; signature: {told(done.model.signed)}",
        f"written: {out / FILES[made_as]}, and contract.json beside it",
        f"compared on {found.images} generated images: at most {found.largest_logit_difference:.1g} apart in "
        f"logits, {found.largest_probability_difference:.1g} in probabilities",
        *(f"not in it: {what}" for what in done.contract.not_inside),
    ]
    if done.contract.none_of_these:
        lines.append("the gate in it describes pictures of this site by a few numbers: keep it in the house")
    if made_as == "bundle" and not stands_alone(given):
        lines.append("its images are read by clinical-qkt, which has to be installed where it runs")
    if done.contract.generated_data:
        lines.append("made from generated images, not from patients")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
