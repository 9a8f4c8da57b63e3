"""``monitoring.html``: the latest check, what follows from it, and all checks; made of the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clinical_qkt.core.files import write_text
from clinical_qkt.core.pages import environment
from clinical_qkt.core.version import __version__
from clinical_qkt.monitoring import words
from clinical_qkt.monitoring.charts import charts
from clinical_qkt.monitoring.check import IN_WORDS, Check
from clinical_qkt.site.monitoring_limits import Monitoring

NAME = "monitoring.html"


def write(folder: Path, site: str, checks: Sequence[Check], rules: Monitoring) -> None:
    """Write the page: one file that needs no network and no script."""
    write_text(folder / NAME, page(site, checks, rules), private=True)


def page(site: str, checks: Sequence[Check], rules: Monitoring) -> str:
    """The page's HTML.

    Args:
        checks: one at least, in their order.
        rules: the site's limits.
    """
    templates = environment("clinical_qkt.monitoring", trim=True)
    last = checks[-1]
    return templates.get_template("monitoring.html.j2").render(
        site=site,
        last=last,
        checks=list(reversed(checks)),
        rows=list(words.rows(last)),
        sentences=list(words.sentences(last)),
        limits=words.limits(rules),
        charts=list(charts(checks)),
        rules=rules,
        in_words=IN_WORDS,
        version=__version__,
    )
