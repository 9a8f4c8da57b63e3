"""The commands of the documentation's pages: found, and executed.

What counts as a command: a line of a code block whose first word is a program, or that sets a variable; and
what stands in the text between backticks and begins with one of our programs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import fire
import pytest
from monai.bundle import scripts

from tests.conftest import run

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
NO_PROGRAMS = {"test", "file", "in", "site"}
"""Words at the beginning of what is shown, which some machine has a program for."""
OURS = "clinical-qkt|make|mlflow|python|pip|source|mkdocs|check-jsonschema|sha256sum|playwright"


def code_lines(text: str) -> Iterator[str]:
    """The lines of a page's code blocks, fenced or indented; after a backslash at its end a line goes on."""
    fenced, before = False, ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            if line.endswith("\\"):
                before += line.strip().removesuffix("\\")
            else:
                yield (before + line.strip()).strip()
                before = ""


def is_command(line: str) -> bool:
    """Whether a shell could run it, here or where the programs are installed."""
    word = line.split()[0] if line.split() else ""
    if re.fullmatch(r"[A-Z]+=\S+", line.strip()):
        return True
    known = re.fullmatch(OURS, word.removeprefix(".venv/bin/")) or shutil.which(word, path=PATH)
    return bool(known) and word not in NO_PROGRAMS


def commands(text: str) -> list[str]:
    """A page's commands, one a line, in its order; also those that set a variable."""
    return [line for line in code_lines(text) if is_command(line)]


def mentions(text: str) -> list[str]:
    """The commands in a page's running text, between backticks."""
    plain = re.sub(r"^(    .*|```.*?^```)$", "", text, flags=re.M | re.S if "```" in text else re.M)
    found = re.findall(rf"`((?:\.venv/bin/)?(?:{OURS}) [^`]+)`", plain)
    return [" ".join(f.split()) for f in found]


def execute(
    lines: Sequence[str], monkeypatch: pytest.MonkeyPatch, folder: Path, replaced: Mapping[str, str]
) -> dict[str, int]:
    """Run a page's commands in a folder, and check that each ends as the page says: with 0, or with what
    stands behind it as ``# exit code N``.

    MONAI's launcher and our own command run in this process: starting Python anew takes longer than most of
    them. That they run from a shell is tested once here and beside the bundles.

    Args:
        replaced: parts of the lines, after variables were put in.

    Returns:
        How often each program was run.
    """
    monkeypatch.chdir(folder)
    variables: dict[str, str] = {}
    count: dict[str, int] = {}
    for line in lines:
        command, _, expected = line.partition("# exit code ")
        for name, value in variables.items():
            command = command.replace(f"${name}", value)
        if set_ := re.fullmatch(r"([A-Z]+)=(\S+)", command.strip()):
            variables[set_[1]] = set_[2]
            continue
        for old, new in replaced.items():
            command = command.replace(old, new)
        words = shlex.split(command, comments=True)
        if words[:3] == ["python", "-m", "monai.bundle"]:
            program, code = "monai", launcher(words[3:])
        elif words[0] == "clinical-qkt":
            program, code = words[0], run(*words[1:])
        else:
            program, code = words[0], shell(command, folder)
        assert code == int(expected or 0), command
        count[program] = count.get(program, 0) + 1
    return count


def launcher(arguments: list[str]) -> int:
    """``python -m monai.bundle`` in this process; the exit code."""
    if arguments[0] == "run":  # a bundle's logging.conf replaces the handlers of a whole process
        arguments = [*arguments, "--logging_file=False"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fire.Fire(scripts, command=arguments, name="monai.bundle")
        except SystemExit as e:
            return int(e.code or 0)
    return 0


def shell(command: str, folder: Path) -> int:
    """Any other command; the exit code."""
    env = {**os.environ, "PATH": PATH}
    return subprocess.run(["bash", "-ec", command], cwd=folder, env=env, timeout=300).returncode
