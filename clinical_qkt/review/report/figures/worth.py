"""Figures of what an answer is worth: at which base rate, against which loss, by which rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from clinical_qkt.evidence.evaluation import BaseRate
from clinical_qkt.evidence.parts import NetBenefit, Origin, PrecisionRecall
from clinical_qkt.review.report.figures import style
from clinical_qkt.review.summary_schema import TransferSummary

WHERE: Mapping[Origin, str] = {"site": "in daily practice", "test images": "among the test images"}


def draw_base_rates(summary: TransferSummary) -> Figure:
    """How often an answer is right, by how common the class is; the site's own prevalence is marked."""
    told = {n: rates for n, rates in summary.after.base_rates.items() if rates}
    figure, panels = style.stacked(len(told), 3.9)
    for axes, (name, rates) in zip(panels, told.items(), strict=True):
        rates = sorted(rates, key=lambda r: r.prevalence)
        shown = style.flat(name)
        for sign, key, shift, label in (
            (style.DIAMOND, "ppv", 1.06, f"called {shown}: it is"),
            (style.HOLLOW, "npv", 0.94, "called otherwise: it is not"),
        ):
            _answers(axes, rates, key, shift, sign, label)
        _own(axes, rates)
        axes.set(xscale="log", ylim=(0, 100), ylabel="right, of 100 such answers")
        axes.set_xlabel(f"so many of 100 images show\n{shown} (further left: rarer)")
        axes.xaxis.set_major_locator(FixedLocator([100 * r.prevalence for r in rates]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        style.key(axes)
        axes.grid(axis="y", color="#dddddd", lw=0.7)
    return figure


def draw_precision_recall(summary: TransferSummary) -> Figure:
    """What is found against what a call is worth: among the test images, and at the site's base rate."""
    told = _by_query(summary.precision_recall)
    figure, panels = style.stacked(len(told), 4.1)
    for axes, (name, curves) in zip(panels, told.items(), strict=True):
        for curve in curves:
            _steps(axes, curve)
        axes.set(xlim=(0, 100), ylim=(0, 100), ylabel="right, of 100 that are called so")
        axes.set_xlabel(f"found, of 100 images of\n{style.flat(name)}")
        style.key(axes)
        axes.grid(color="#dddddd", lw=0.7)
    return figure


def draw_decision(summary: TransferSummary) -> Figure:
    """Net benefit by threshold: the model as it is used, against calling every image so, and none."""
    told = chosen(summary)
    figure, panels = style.stacked(len(told), 4.6)
    for axes, curve in zip(panels, told, strict=True):
        at = [100 * p.threshold for p in curve.points]
        _band(axes, at, curve)
        every = [1000 * p.call_all for p in curve.points]
        axes.plot(at, every, ls=":", lw=1.6, color=style.INK, label="if every image were called so")
        axes.axhline(0, color=style.INK, lw=1.2, label="if none were")
        best = 1000 * max(curve.prevalence, *(p.ci95[1] for p in curve.points))
        least = 1000 * min(min(p.model, p.named) for p in curve.points)
        axes.set(xlim=(0, at[-1]), ylim=(min(-0.1 * best, max(-best, 1.1 * least)), 1.08 * best))
        axes.set_ylabel("net hits, of 1,000 images")
        shown = f"{_percent(curve.prevalence)} % show {style.flat(curve.query)}"
        axes.set_xlabel(f"called so from this probability on, in %\n({WHERE[curve.prevalence_from]} {shown})")
        style.key(axes)
    return figure


def chosen(summary: TransferSummary) -> list[NetBenefit]:
    """Of each queried class the decision curve that counts: at the site's prevalence, if it is told."""
    told = {c.query: c for c in summary.net_benefit if c.points}
    return list((told | {c.query: c for c in summary.net_benefit if c.prevalence_from == "site"}).values())


def _steps(axes: Axes, curve: PrecisionRecall) -> None:
    own = curve.prevalence_from == "site"
    low, high = (100 * end for end in curve.ci95)
    label = (
        f"{WHERE[curve.prevalence_from]} ({_percent(curve.prevalence)} %):\n"
        f"average precision {100 * curve.average_precision:.0f} ({low:.0f} to {high:.0f})"
    )
    recall, precision = [100 * r for r in curve.recall], [100 * p for p in curve.precision]
    look: dict[str, Any] = {**(style.DIAMOND if own else style.HOLLOW), "ms": 4.5, "ls": "-" if own else "--"}
    each = max(1, len(recall) // 8)
    axes.plot(recall, precision, drawstyle="steps-post", label=label, markevery=each, clip_on=False, **look)


def _band(axes: Axes, at: list[float], curve: NetBenefit) -> None:
    low, high = ([1000 * p.ci95[end] for p in curve.points] for end in (0, 1))
    axes.fill_between(at, low, high, color=style.AFTER, alpha=0.18, lw=0)
    model, named = ([1000 * getattr(p, key) for p in curve.points] for key in ("model", "named"))
    for values, sign, line, label in (
        (model, style.ROUND, "-", "model, called from the probability on"),
        (named, style.DIAMOND, "--", "model, as it names by itself"),
    ):
        axes.plot(at, values, lw=1.4, ls=line, label=label, **{**sign, "ms": 4.5})


def _answers(
    axes: Axes, rates: list[BaseRate], key: str, shift: float, sign: Mapping[str, Any], label: str
) -> None:
    """Dots with intervals, a little to one side, so that the other answer's do not hide them."""
    known = [r for r in rates if getattr(r, key) is not None]
    at = [100 * r.prevalence * shift for r in known]
    axes.plot(at, [100 * getattr(r, key) for r in known], lw=1, label=label, clip_on=False, **sign)
    for x, r in zip(at, known, strict=True):
        ends = [100 * end for end in getattr(r, f"{key}_ci95")]
        style.whisker(axes, x, 100 * getattr(r, key), ends, upright=True, **sign)


def _own(axes: Axes, rates: list[BaseRate]) -> None:
    for r in rates:
        if r.own:
            axes.axvspan(80 * r.prevalence, 125 * r.prevalence, color="#e6e6e6", lw=0, zorder=0)
            axes.text(100 * r.prevalence, 3, "here", ha="center", va="bottom", weight="bold")


def _by_query(curves: list[PrecisionRecall]) -> dict[str, list[PrecisionRecall]]:
    found: dict[str, list[PrecisionRecall]] = {}
    for curve in curves:
        found.setdefault(curve.query, []).append(curve)
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.2g}"
