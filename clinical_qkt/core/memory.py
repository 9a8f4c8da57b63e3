"""Memory that is free: of a GPU, of the machine, and of what a container or a limit leaves of it."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

KEPT, LARGE = 2**28, 2**25
"""Bytes that are kept when they are freed; pieces above the second number always go back to the system."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # in malloc.h


def free(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes that can still be had on a device; None if it does not tell.

    On a CPU the least of what the machine, the control groups around this process (containers, batch systems)
    and the limits on it leave.

    Args:
        root: below which ``proc`` and ``sys`` are looked for.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    found = [n for n in (_of_machine(root), *_of_groups(root), *_of_limits(root)) if n is not None]
    return max(0, min(found)) if found else None


@cache
def reuse() -> bool:
    """Keep what is freed for the next that asks, up to ``KEPT``, instead of giving it back to the system.

    What one layer of a network frees the next one takes. From the system it comes page by page, each wiped,
    which at 224 pixels takes a third of the time of a network on a CPU.

    Returns:
        Whether this system's library could be told; it is the C library of Linux that can.
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(tell(_TRIM_THRESHOLD, KEPT)) and bool(tell(_MMAP_THRESHOLD, LARGE))


def bytes_told(count: float) -> str:
    """Bytes for people.

    >>> bytes_told(1_300_000_000), bytes_told(20_000_000)
    ('1.3 GB', '20 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{math.ceil(count / 1e6)} MB"


def _of_machine(root: Path) -> int | None:
    """Linux counts as available what can be taken from caches; elsewhere what is not in use at all."""
    told = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in told:
        return told["MemAvailable:"] * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_groups(root: Path) -> Iterator[int]:
    """What is left in each control group around this process, of version 2 and of version 1.

    A container may see its own group as the topmost one, whatever path it is told; so the topmost one is
    looked at in any case.
    """
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            tops: tuple[Path, ...] = (base, base / "unified")
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            tops = (base / "memory",)
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        for top in tops:
            inner = top / path.lstrip("/")
            for group in (inner, *inner.parents):
                if group == top or top in group.parents:
                    yield from _left(group, *names)


def _left(group: Path, limit: str, used: str, cached: str) -> Iterator[int]:
    """A group's limit, less what is in use and could not be dropped at once; nothing where there is none."""
    told = _text(group / limit).strip(), _text(group / used).strip()
    if all(t.isdecimal() for t in told):
        yield int(told[0]) - int(told[1]) + _numbers(group / "memory.stat").get(cached, 0)


def _of_limits(root: Path) -> Iterator[int]:
    """What ``ulimit`` leaves of address space and data."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    pages = _text(root / "proc/self/statm").split()
    held = [int(p) * os.sysconf("SC_PAGE_SIZE") for p in pages] or [0] * 7
    for kind, now in ((resource.RLIMIT_AS, held[0]), (resource.RLIMIT_DATA, held[5])):
        most = resource.getrlimit(kind)[0]
        if most != resource.RLIM_INFINITY:
            yield most - now


def _numbers(file: Path) -> dict[str, int]:
    """A file's lines of a name and a number."""
    rows = (line.split() for line in _text(file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
