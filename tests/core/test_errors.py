"""What a person can mend is told in one sentence, however deep it lies."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from multiprocessing import Pipe, Process
from multiprocessing.reduction import DupFd

import pytest
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

from clinical_qkt.core.errors import InputError, OutputError, PackageError, explained, likeliest, one_of


def wrapped(error: BaseException) -> RuntimeError:
    """As MONAI wraps what an expression or a transform raises."""
    try:
        try:
            raise error
        except BaseException as e:
            raise RuntimeError("Failed to evaluate") from e
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the disk is full"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "quota"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/x/y.json"), "read-only"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x/y.json"), "not permitted"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "errors"),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "read-only"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (
            RuntimeError("PytorchStreamWriter: file write failed"),
            "the disk is full",
        ),
        (MemoryError(), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory"),
    ],
)
def test_a_disk_or_memory_that_does_not_suffice_is_an_output_error(error, told):
    for found in (explained(error), explained(wrapped(error)), explained(wrapped(wrapped(error)))):
        assert isinstance(found, OutputError) and found.exit_code == 5
        assert told in found.problem and found.fix


class Images(Dataset):
    """Of which the third ends the worker that shall read it."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(2)


def of_a_worker(text: str) -> RuntimeError:
    """As a loader tells what one of its workers ran into."""
    wrapper = ExceptionWrapper((RuntimeError, RuntimeError(text), None), "in DataLoader worker process 0")
    with pytest.raises(RuntimeError) as e:
        wrapper.reraise()
    return e.value


def told_of_workers(error: BaseException) -> str:
    found = explained(wrapped(error))
    assert isinstance(found, OutputError)
    assert found.where == "num_workers" and "set 'num_workers' to 0" in found.fix
    return found.problem


def test_a_worker_that_the_system_ends_is_told():
    with pytest.raises(RuntimeError) as e:  # one at a time: none is on its way when it ends
        list(DataLoader(Images(), num_workers=1, prefetch_factor=1))
    assert "was ended" in told_of_workers(e.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("unable to allocate shared memory(shm) for file </torch>: No space left on device (28)", "/dev/shm"),
        ("unable to write to file </torch_1>: No space left on device (28)", "/dev/shm"),
        ("unable to open shared memory object </torch> in read mode: Too many open files (24)", "files"),
        ("received 0 items of ancdata", "too many files are open"),
    ],
)
def test_what_workers_run_into_is_no_full_disk(text, told):
    assert told in told_of_workers(of_a_worker(text))


def promise_and_end(promises) -> None:
    """A worker that ends after it has told of a batch and before it has handed it over."""
    read, _ = os.pipe()
    promises.send(DupFd(read))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_ends_while_a_batch_is_on_its_way_is_told():
    ours, theirs = Pipe()
    worker = Process(target=promise_and_end, args=(theirs,))
    worker.start()
    promise = ours.recv()
    worker.join()
    with pytest.raises((OSError, EOFError)) as e:
        promise.detach()
    assert "was ended" in told_of_workers(e.value)
    assert explained(ConnectionResetError(errno.ECONNRESET, "of a server")) is None


def test_a_file_is_not_named_since_it_may_be_a_telling_image():
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/Anna Meier 1950.dcm")
    assert "Anna" not in str(explained(wrapped(error)))
    assert explained(error).where == "/data"


def test_the_folder_that_was_written_to_is_named_where_the_error_does_not_tell():
    assert explained(OSError(errno.ENOSPC, "full"), "runs/us").where == "runs/us"


@pytest.mark.parametrize("error", [InputError("a"), PackageError("b")])
def test_our_own_errors_are_found_behind_others(error):
    assert explained(error) is error and explained(wrapped(error)) is error


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("shapes"), FileNotFoundError(2, "x"), None])
def test_a_bug_stays_a_bug(error):
    assert explained(error) is None


def test_an_error_that_was_dealt_with_does_not_explain_a_later_bug():
    try:
        try:
            raise InputError("dealt with")
        except InputError:
            raise KeyError("a bug")  # noqa: B904
    except KeyError as e:
        assert explained(e) is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_a_checkpoint_on_a_full_disk_is_an_output_error():
    with pytest.raises((RuntimeError, OSError)) as e, open("/dev/full", "wb") as full:  # noqa: PTH123
        torch.save({"weights": torch.zeros(100_000)}, full)
    assert isinstance(explained(e.value), OutputError)


def test_the_likeliest_name_is_proposed():
    assert likeliest("max_epoch", ["seed", "max_epochs"]) == "max_epochs" and likeliest("x", ["yz"]) is None
    assert one_of("x", ["yz"]) == "known: yz"


def test_errors_and_a_sites_description_need_no_torch():
    modules = ("core.values", "core.refusals", "site.config", "site.launch", "site.policy", "core.exit_codes")
    code = "import sys; " + "; ".join(f"import clinical_qkt.{m}" for m in modules)
    code += "; sys.exit(any(m in sys.modules for m in ('torch', 'monai', 'mlflow', 'scipy', 'sklearn')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
