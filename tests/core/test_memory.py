import os
import resource
import sys
from pathlib import Path

import pytest
import torch

from clinical_qkt.core.memory import bytes_told, free, reuse

CPU = torch.device("cpu")
GB = 10**9


def machine(root: Path, available: int, group: str = "", **files: str) -> Path:
    """A machine's files: what is available, the control groups around the process, and what they say."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {available // 1024} kB\n")
    (root / "proc/self/cgroup").write_text(group)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


def test_without_groups_it_is_what_the_machine_has_available(tmp_path):
    assert free(CPU, machine(tmp_path, 8 * GB)) == pytest.approx(8 * GB, rel=1e-6)


def test_it_is_told_on_this_machine():
    found = free(CPU)
    assert found is not None and 0 < found < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("group", "files", "left"),
    [
        ("0::/a/b\n", {"a__b__memory.max": "max", "a__b__memory.current": "5"}, 8 * GB),
        # the pages of files that were read once are no use that counts
        (
            "0::/a/b\n",
            {
                "a__memory.max": f"{3 * GB}",
                "a__memory.current": f"{2 * GB}",
                "a__memory.stat": f"anon 7\ninactive_file {GB // 2}\n",
                "a__b__memory.max": f"{6 * GB}",
                "a__b__memory.current": "0",
            },
            1.5 * GB,
        ),
        # a container that is told its group's path outside, and sees it as the topmost one
        ("0::/docker/1\n", {"memory.max": f"{2 * GB}", "memory.current": "0"}, 2 * GB),
        (
            "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n",
            {
                "memory__x__memory.limit_in_bytes": f"{4 * GB}",
                "memory__x__memory.usage_in_bytes": f"{3 * GB}",
                "memory__x__memory.stat": f"total_inactive_file {2 * GB}\n",
                "memory__memory.limit_in_bytes": "9223372036854771712",
                "memory__memory.usage_in_bytes": "0",
            },
            3 * GB,
        ),
    ],
)
def test_a_container_leaves_what_its_group_leaves(tmp_path, group, files, left):
    assert free(CPU, machine(tmp_path, 8 * GB, group, **files)) == pytest.approx(left, rel=1e-6)


def test_files_that_say_nothing_usable_limit_nothing(tmp_path):
    files = {"memory.max": "lots", "memory.current": "", "memory.stat": "\n\nx y z\n"}
    told = free(CPU, machine(tmp_path, 8 * GB, "nonsense\n0::/\n:", **files))
    assert told == pytest.approx(8 * GB, rel=1e-6)


def test_a_limit_on_the_process_counts():
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + 2 * GB, before[1]))
    try:
        assert 1.8 * GB < free(CPU) < 2.1 * GB
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux is told")
def test_what_a_layer_frees_is_taken_by_the_next():
    assert reuse()

    def layers() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.zeros(2**22)  # 16 MB, 4,096 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    layers()
    assert layers() < 4096


@pytest.mark.parametrize(("count", "told"), [(1, "1 MB"), (999e6, "999 MB"), (1.25e9, "1.2 GB")])
def test_bytes_are_told_in_round_numbers(count, told):
    assert bytes_told(count) == told
