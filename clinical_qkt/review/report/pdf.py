"""``report.html`` as a PDF: printed by a Chromium that is installed anyway, without network.

The page has its own rules for paper (templates/report/print.css); here the size of the paper is added.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Literal

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.files import write_whole

Paper = Literal["a4", "letter"]
SIZES: dict[Paper, str] = {"a4": "A4", "letter": "letter"}
"""Of the paper, as CSS calls them."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Of the program, in the order in which they are looked for."""
NUMBERED = 131
"""The first version that prints what a page's margin says: page number and report."""
SECONDS = 120
BY_HAND = "open report.html in a browser and print it to a file"
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name is looked up, whatever the page says
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
)


def browser() -> Path:
    """The Chromium that is installed.

    Raises:
        OutputError: there is none.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise OutputError(
        f"no Chromium was found to print the PDF (looked for: {', '.join(NAMES)})",
        fix=f"install Chromium or Chrome, or {BY_HAND}",
    )


def version(chromium: Path) -> int | None:
    """Its main version; None if it does not tell."""
    with tempfile.TemporaryDirectory() as home:
        _, said = _ran([str(chromium), "--version"], Path(home))
    found = re.search(r"(\d+)\.\d+\.\d+", said)
    return int(found[1]) if found else None


def write(page: Path, out: Path, paper: Paper, chromium: Path) -> None:
    """Print a page as a PDF.

    Args:
        page: HTML that needs nothing besides.
        out: the PDF; put in place whole, or not at all.
        chromium: see ``browser``.

    Raises:
        OutputError: the browser fails, takes too long, or writes no PDF.
    """
    write_whole(out, partial(_print, page, paper, chromium))


def sized(html: str, paper: Paper) -> str:
    """The page with the size of its paper.

    >>> sized("<head></head>", "letter")
    '<head><style>@page { size: letter; }</style></head>'
    """
    return html.replace("</head>", f"<style>@page {{ size: {SIZES[paper]}; }}</style></head>", 1)


def _print(page: Path, paper: Paper, chromium: Path, part: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        copy, made = home / "report.html", home / "report.pdf"
        copy.write_text(sized(page.read_text(encoding="utf-8"), paper), encoding="utf-8")
        profile = f"--user-data-dir={home / 'profile'}"
        command = [str(chromium), *_options(), profile, f"--print-to-pdf={made}", copy.as_uri()]
        code, _ = _ran(command, home)
        if code != 0 or not made.is_file() or made.read_bytes()[:5] != b"%PDF-":
            told = "took too long" if code is None else f"ended with code {code} and made no PDF"
            raise OutputError(f"{chromium.name} {told}", fix=BY_HAND)
        shutil.copyfile(made, part)


def _options() -> list[str]:
    """The administrator of a container cannot have the browser's own sandbox; the page runs no script."""
    return [*OPTIONS, "--no-sandbox"] if os.geteuid() == 0 else list(OPTIONS)


def _ran(command: list[str], home: Path) -> tuple[int | None, str]:
    """Run the browser with a home of its own; it and all that it started end here.

    Returns:
        Its exit code, None if it took too long, and what it printed.
    """
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home), "TMPDIR": str(home)}
    with subprocess.Popen(
        command,
        env=os.environ | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            _end(process)
    return process.returncode, said


def _end(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # all of it has ended
        return
