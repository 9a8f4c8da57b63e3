"""What a test run shares, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import once

OUTSIDE = """
from tests import once
assert once.folder() == once.folder()
print(once.once("there", lambda path: path.write_text("made")))
"""


def test_nothing_is_left_behind_and_a_run_has_one_folder(tmp_path):
    elsewhere = {k: v for k, v in os.environ.items() if k != once.FOLDER} | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", OUTSIDE]
    done = subprocess.run(command, env=elsewhere, capture_output=True, text=True, check=True)
    made = Path(done.stdout.strip())
    assert made.parent.parent == tmp_path and not list(tmp_path.iterdir())


def test_what_is_there_is_not_made_again_and_what_failed_is(tmp_path, monkeypatch):
    monkeypatch.setenv(once.FOLDER, str(tmp_path))
    asked = []

    def make(path):
        asked.append(path)
        if len(asked) == 1:
            raise OSError
        path.touch()

    try:
        once.once("x", make)
    except OSError:
        assert len(asked) == 1
    assert once.once("x", make) == once.once("x", make) == tmp_path / "x"
    assert len(asked) == 2
