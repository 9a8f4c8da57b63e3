"""What a check found, in plain words: for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from clinical_qkt.monitoring.check import IN_WORDS, Check, Counted
from clinical_qkt.monitoring.drift import RULES
from clinical_qkt.site.monitoring_limits import Monitoring

TOO_FEW = "too few images"
State = Literal["alarm", "quiet", "not judged"]


@dataclass(frozen=True)
class Row:
    """A rule and what it found."""

    state: State
    what: str
    found: str


def rows(check: Check) -> Iterator[Row]:
    """Every rule, those that were not judged too."""
    for rule in RULES:
        part = check.images_changed.get(rule)
        if part is None:
            yield Row("not judged", IN_WORDS[rule], "too few images")
            continue
        told = f"{part.deviation:.1f} deviations, alarm from {part.limit:.1f} on"
        if rule == "look" and "look" in check.alarms:
            told += f"; moved most: {moved(check)}"
        if rule == "certainty":
            told += f"; unsure of {check.unsure} of {check.images}"
        yield Row("alarm" if rule in check.alarms else "quiet", IN_WORDS[rule], told)
    why = "too few images" if check.verdict == TOO_FEW else "no yardstick for this"
    for name, counted in check.counts.items():
        yield _counted(f"called {name}", counted, check.units, f"{check.unit}s", why)
    yield _counted("cannot be read", check.unreadable, check.listed, "files", "too few files")


def _counted(what: str, counted: Counted, of: int, unit: str, why: str) -> Row:
    told = f"{counted.count} of {of} {unit}"
    if counted.high is None:
        return Row("not judged", what, f"{told}; {why}")
    span = f"{counted.low} to {counted.high}" if counted.low is not None else f"up to {counted.high}"
    return Row("alarm" if counted.outside else "quiet", what, f"{told}, expected {span}")


def moved(check: Check) -> str:
    """Which numbers of the look moved most, in spreads between images of a class."""
    return ", ".join(f"{name} {value:+.1f}" for name, value in check.moved.items())


def sentences(check: Check) -> Iterator[str]:
    """The verdict, what follows from it, and what was compared with what."""
    if check.verdict == "quiet":
        yield "Quiet: nothing speaks against using the model as before."
    elif check.verdict == "alarm":
        told = "; ".join(IN_WORDS[rule] for rule in check.alarms)
        yield f"Alarm: {told}."
    else:
        yield f"{check.images} images, {check.compared} comparable, are too few: nothing can be said."
    if check.switch_off:
        yield f"Switch the model off, and let people look at all images: {'; '.join(check.switch_off)}."
    if check.verdict == "alarm" and not check.switch_off:
        yield "Look at a sample of the images with their answers before the model is used further."
    when = (
        "of the acceptance" if check.yardstick == "acceptance" else f"of the baseline {check.yardstick_name}"
    )
    yield f"{check.compared} of {check.images} images were compared with {check.reference_images} {when}."
    if check.yardstick == "acceptance":
        yield (
            "The test images say nothing of how often classes are seen in daily practice: give the images of "
            "the first quiet weeks with --baseline."
        )


def limits(rules: Monitoring) -> list[str]:
    """From which limits on the model is to be switched off, as the site's YAML says."""
    times = (
        "every alarm"
        if rules.alarms_in_a_row == 1
        else f"the same alarm in {rules.alarms_in_a_row} checks in a row"
    )
    return [
        f"{times};",
        "a change of the images (their look, what the model sees in them, how sure it is) that chance brings "
        f"in fewer than 1 of {round(1 / rules.certain):,} checks.",
    ]
