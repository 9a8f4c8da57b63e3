"""Somebody with an account on the same computer, who looks at what others may read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path


def seen_by_others(folder: Path) -> Iterator[Path]:
    """Files that another user may read below a folder, and links that he sees, whatever they lead to."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & stat.S_IXOTH:
        return
    for path in sorted(folder.iterdir()):  # a name can be guessed where the folder cannot be listed
        if path.is_symlink():
            if mode & stat.S_IROTH:
                yield path
        elif path.is_dir():
            yield from seen_by_others(path)
        elif path.stat().st_mode & stat.S_IROTH:
            yield path
