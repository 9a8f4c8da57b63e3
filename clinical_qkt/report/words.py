"""Sentences of the report: plain text, which whoever shows it has to escape."""

from __future__ import annotations

from collections.abc import Sequence

from clinical_qkt.report import facts
from clinical_qkt.report.facts import Group, Mistake, Summary


def verdict(summary: Summary) -> str:
    """The decision in one or two words."""
    return "Accepted" if summary["accepted"] else "Not accepted"


def answer_sentence(summary: Summary) -> str:
    """The result in plain words: what was gained and lost, on how many images, how sure."""
    return f"{_gained(summary)} {_lost(summary)}"


def _gained(summary: Summary) -> str:
    query, unknown = summary["student"]["query"], facts.untested(summary)
    before, after = summary["before"], summary["after"]
    told = []
    if unknown:
        told.append(
            f"The model was taught {joined(query)}. How well it recognises {joined(unknown)} is unknown: "
            f"there are no test images of {'it' if len(unknown) == 1 else 'them'}."
        )
    else:
        images = counted(facts.images_of(summary, query), "test image")
        told.append(
            f"The model now recognises {joined(query)} in {hundred(after['query_recall'])} of 100 cases"
            f"{' on average' if len(query) > 1 else ''} (before: {hundred(before['query_recall'])}), "
            f"measured on {images}; the true figure probably lies {between(after['query_recall_ci95'])}."
        )
    each = [_one(name, before, after) for name in query if name not in unknown]
    if each and len(query) > 1:
        told.append(f"By class: {'; '.join(each)}.")
    return " ".join(told)


def _one(name: str, before: Summary, after: Summary) -> str:
    row = after["per_class"][name]
    return (
        f"{name} in {hundred(row['recall'])} of 100 cases (before: "
        f"{hundred(before['per_class'][name]['recall'])}), {counted(row['support'], 'test image')}, probably "
        f"{between(row['recall_ci95'])}"
    )


def _lost(summary: Summary) -> str:
    lost, budget = summary["forgetting"], summary["budget"]["forgetting"]
    known = [n for n, v in lost["per_class"].items() if v is not None]
    if lost["mean"] is None:
        return "What it forgot is unknown: there are no test images of the classes that it knew before."
    measured = f"measured on {facts.images_of(summary, known)} test images"
    if lost["mean"] <= 0:
        said = f"On the classes that it knew before it lost nothing on average, {measured}"
    else:
        said = (
            f"Of 100 images of the classes that it knew before, {100 * lost['mean']:.1f} fewer "
            f"are recognised on average ({budget:g} were allowed), {measured}"
        )
    if lost["worst"] <= 0:
        return f"{said}."
    worst = next(n for n, v in lost["per_class"].items() if v == lost["worst"])
    return f"{said}; {worst} lost most: {100 * lost['worst']:.1f} of 100."


def few_sentences(summary: Summary) -> list[str]:
    """For each queried class with a handful of test images: how few, and what that means."""
    told = []
    for name, n in facts.few(summary).items():
        row = summary["after"]["per_class"][name]
        told.append(
            f"Only {counted(n, 'image')} of {name} could be tested, so the interval is wide: the true figure "
            f"may as well be {percent(row['recall_ci95'][0])} of 100. More images would narrow it."
        )
    return told


def mistake_sentence(m: Mistake) -> str:
    """One mistake that became more or less common.

    >>> mistake_sentence(Mistake("a", "b", 0, 3, 64))
    'Of 100 images of a, 5 more are called b (before 0, now 3 of 64 images).'
    """
    change = "more" if m.after > m.before else "fewer"
    return (
        f"Of 100 images of {m.true}, {hundred(abs(m.after - m.before) / m.images)} {change} are called "
        f"{m.called} (before {m.before}, now {m.after} of {counted(m.images, 'image')})."
    )


def calibration_sentences(summary: Summary) -> list[str]:
    """How far the probabilities that the new model states can be believed."""
    sure, unsure = facts.sure_and_unsure(summary["after"])
    error, over = summary["after"]["calibration"]["error"], facts.overconfidence(summary["after"])
    if error is None or over is None:
        return ["There are no test images, so nothing is known of the probabilities that the model states."]
    told = []
    if sure:
        told.append(f"Where the new model is {100 * facts.SURE:.0f} % sure or more, {_told(sure)}.")
    if unsure:
        told.append(f"Where it is less sure, {_told(unsure)}.")
    told.append(
        "On average the probability that it states and how often it is right differ by "
        f"{100 * error:.1f} points"
        + (
            f" (before: {100 * earlier:.1f})."
            if (earlier := summary["before"]["calibration"]["error"]) is not None
            else "."
        )
    )
    if abs(over) >= 0.01:
        kind = "surer than it should be" if over > 0 else "right more often than it says"
        told.append(f"On the whole it is {kind}, by {100 * abs(over):.1f} points.")
    return told


def _told(group: Group) -> str:
    share = hundred(group.right / group.images)
    return (
        f"it says {percent(group.stated)} % on average and is right in {share} of 100 cases "
        f"({group.right} of {counted(group.images, 'image')})"
    )


def alarm_sentence(summary: Summary, name: str) -> str:
    """How many of the site's images of other classes the new model wrongly calls a queried class."""
    d = facts.defaults(summary)[name]
    if not d.others:
        return f"There are no test images of other classes that could be wrongly called {name}."
    return (
        f"The new model wrongly calls {hundred(d.false_alarms / d.others)} of 100 test images of other "
        f"classes {name} ({d.false_alarms} of {d.others})."
    )


def default_sentence(summary: Summary, name: str) -> str:
    """What the model does with a queried class when left to itself."""
    d = facts.defaults(summary)[name]
    alarms = (
        f"calls {name} {hundred(d.false_alarms / d.others)} of 100 images of other classes "
        f"({d.false_alarms} of {d.others})"
        if d.others
        else "there are no images of other classes to be wrong on"
    )
    if not d.images:
        return f"By default it {alarms}. How many images of {name} it recognises is unknown."
    found = hundred(d.recognised / d.images)
    return (
        f"By default it recognises {found} of 100 images of {name} ({d.recognised} of {d.images}) and "
        f"{alarms}."
    )


def threshold_sentences(summary: Summary, name: str) -> list[str]:
    """What a lower and a higher threshold would do to a queried class."""
    rows = {round(r["threshold"], 2): r for r in summary["after"]["thresholds"][name]}
    told = []
    leads = {0.1: "A low threshold is reached more often, rightly and wrongly", 0.9: "A high one less often"}
    for at, lead in leads.items():
        row = rows.get(at)
        if row is None or row["false_alarms"] is None:
            continue
        found = (
            "" if row["recognised"] is None else f"{hundred(row['recognised'])} of 100 would be found and "
        )
        told.append(
            f"{lead}: from {100 * at:.0f} % on, {found}{hundred(row['false_alarms'])} of "
            "100 images of other classes would be called so."
        )
    return told


def between(interval: Sequence[float]) -> str:
    """An interval in words.

    >>> between([0.886, 1.0])
    'between 89 and 100 of 100'
    """
    return f"between {percent(interval[0])} and {percent(interval[1])} of 100"


def joined(names: Sequence[str]) -> str:
    """Names as a list in a sentence.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def counted(n: int, thing: str) -> str:
    """
    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{n} {thing}{'' if n == 1 else 's'}"


def hundred(share: float) -> str:
    """How many of 100; never rounded to none or to all where it is neither.

    >>> hundred(0.953), hundred(0.998), hundred(0.001), hundred(1.0)
    ('95', 'more than 99', 'less than 1', '100')
    """
    if share < 1 and 100 * share >= 99.5:
        return "more than 99"
    if 0 < 100 * share <= 0.5:
        return "less than 1"
    return percent(share)


def short(share: float | None) -> str:
    """As ``hundred``, for a column of a table.

    >>> short(0.998), short(None)
    ('>99', '–')
    """
    return "–" if share is None else hundred(share).replace("more than ", ">").replace("less than ", "<")


def percent(share: float | None) -> str:
    """A share as whole percents; a dash if unknown.

    >>> percent(0.957), percent(None)
    ('96', '–')
    """
    return "–" if share is None else f"{100 * share:.0f}"


def points(share: float | None) -> str:
    """A difference of shares as points, with its sign.

    >>> points(0.0213)
    '+2.1'
    """
    return "–" if share is None else f"{100 * share + 0.0:+.1f}"
