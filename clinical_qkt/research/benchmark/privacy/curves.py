"""The privacy benchmark's ROC curves."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import pyplot as plt
from sklearn.metrics import roc_curve

from clinical_qkt.core.files import write_whole
from clinical_qkt.research.benchmark.privacy.attacks import PACKAGE, Record
from clinical_qkt.research.benchmark.privacy.config import PrivacyConfig
from clinical_qkt.research.benchmark.privacy.tables import ATTACKS, only_rare, together


def write_curves(config: PrivacyConfig, records: dict[str, list[Record]], path: Path) -> None:
    """ROC curves on logarithmic axes, one panel a scenario; each thing's first attack."""
    count = len(config.parts)
    figure, axes = plt.subplots(1, count, figsize=(4.6 * count, 6), squeeze=False, layout="constrained")
    for axis, part in zip(axes[0], config.parts, strict=True):
        mine = records[part.scenario.name]
        for of in dict.fromkeys(r.of for r in mine):
            tried = {r.attack for r in mine if r.of == of}
            attack = next(a for a in ATTACKS if a in tried)
            those = [r for r in mine if r.of == of and r.attack == attack]
            kinds = [("", those), (", rarest class" if of == PACKAGE else ", queried class", _rare(those))]
            for (what, some), style in zip(kinds, ("-", ":"), strict=True):
                if some:
                    scores, members = together(some)
                    false, true, _ = roc_curve(members, scores)
                    axis.plot(false, true, style, label=f"{of}{what}", color=_colour(of, mine))
        axis.plot([1e-4, 1], [1e-4, 1], "--", color="black", linewidth=0.8, label="guessing")
        axis.set(xscale="log", yscale="log", xlim=(3e-4, 1), ylim=(3e-4, 1.1), xlabel="others accused")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter("{x:g}")
        axis.set_title(fill(part.title, 50), fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    axes[0][0].set_ylabel("members found")
    write_whole(path, partial(figure.savefig, format="png", dpi=100))
    plt.close(figure)


def _rare(records: list[Record]) -> list[Record]:
    return [only_rare(r) for r in records if r.rare.any()]


def _colour(of: str, records: list[Record]) -> Any:
    things = list(dict.fromkeys(r.of for r in records))
    return plt.get_cmap("tab10")(things.index(of))
