"""What other libraries say goes into a log file beside the results, not onto the screen.

The log holds no path and nothing that a header or a file name could say: of libraries that quote them it
tells where in their code something was said, and leaves the words out.
"""

from __future__ import annotations

import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clinical_qkt.core.version import __version__

FOLDER = "log"
"""Below a site's ``output_dir``."""
WORDS = ("alembic", "clinical_qkt", "ignite", "mlflow", "monai.bundle", "opacus", "sqlalchemy", "torch")
"""Whose words are kept. All others may quote an image's header or name: of theirs only the place is told."""
KEPT = 1000
"""Records that wait for a file; there are a few before a site is known."""
_SUFFIXES = "png|jpe?g|bmp|tiff?|dcm|nii|gz|json|npz|ya?ml|csv"
_QUOTED = re.compile(rf"'[^']*'|\"[^\"]*\"|`[^`]*`|\S*[/\\]\S*|\S+\.(?:{_SUFFIXES})\b", re.I)


class LogFile(logging.Handler):
    """Keeps records until a stage says where its log is, then appends them there."""

    def __init__(self) -> None:
        super().__init__()
        self.path: Path | None = None
        self.stage = ""
        self.waiting: list[str] = []
        self.formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(_harmless(record))
        if self.path is None:
            self.waiting = [*self.waiting, line][-KEPT:]
        else:
            self.append([line])

    def append(self, lines: list[str]) -> None:
        """A log that cannot be written is no reason to end a stage."""
        with suppress(OSError):
            assert self.path is not None
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as f:
                f.writelines(f"{line}\n" for line in lines)

    def open(self, path: Path) -> None:
        """From now on into this file."""
        self.path = path
        head = logging.makeLogRecord({"name": "clinical_qkt", "levelname": "INFO"})
        head.msg = f"{path.stem}, clinical-qkt {__version__}"
        self.append([self.format(head), *self.waiting])
        self.waiting = []


_log = LogFile()
_turned: list[tuple[logging.Logger, list[logging.Handler], bool]] = []
"""Loggers that wrote to the screen, as they were."""


@contextmanager
def kept_from_the_screen() -> Iterator[None]:
    """Warnings and log lines of other libraries go to the log, for as long as this lasts."""
    with warnings.catch_warnings():
        keep_from_the_screen()
        try:
            yield
        finally:
            _log.path, _log.waiting = None, []
            logging.getLogger().removeHandler(_log)
            while _turned:
                logger, handlers, propagate = _turned.pop()
                logger.handlers, logger.propagate = handlers, propagate


def keep_from_the_screen() -> None:
    """The same until the program ends. Again, it finds the loggers that were made since."""
    warnings.simplefilter("default")
    warnings.showwarning = _warned
    root = logging.getLogger()
    if _log not in root.handlers:
        root.addHandler(_log)
    for logger in [root, *map(logging.getLogger, list(logging.root.manager.loggerDict))]:
        kept = [h for h in logger.handlers if not _on_screen(h)]
        if len(kept) < len(logger.handlers):
            _turned.append((logger, logger.handlers, logger.propagate))
            logger.handlers, logger.propagate = kept, True


def open_log(output_dir: Path, stage: str) -> None:
    """What was said so far and what will be said goes into ``<output_dir>/log/<stage>.log``, at its end."""
    keep_from_the_screen()
    _log.open(output_dir / FOLDER / f"{stage}.log")


def log_error(error: BaseException) -> None:
    """The places in the code that an error went through; what it says may quote a file."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"  {Path(f.filename).name}:{f.lineno} in {f.name}" for f in frames]
    if _log.path is not None:
        _log.append(["\n".join([f"{type(error).__name__}, words left out; it went through", *places])])


def _on_screen(handler: logging.Handler) -> bool:
    """Whether it writes to a stream that is no file and no text in memory: MLflow's is a class of its own."""
    if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
        return False
    return not isinstance(handler.stream, io.StringIO)


def _harmless(record: logging.LogRecord) -> logging.LogRecord:
    """A copy without exception, path, quotation; without any words if they come from elsewhere."""
    place = f"(line {record.lineno} of {record.module}; words left out)"
    known = any(record.name == n or record.name.startswith(f"{n}.") for n in WORDS)
    words = place
    if known and record.levelno < logging.ERROR:
        with suppress(Exception):  # a record with the wrong number of arguments
            words = _QUOTED.sub("…", record.getMessage())
    facts: dict[str, Any] = {"name": record.name, "levelname": record.levelname, "msg": words}
    return logging.makeLogRecord({**record.__dict__, **facts, "args": (), "exc_info": None, "exc_text": None})


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: Any = None,
) -> None:
    """A Python warning as a line of the log, under the name of the library that it comes from."""
    parts = Path(filename).with_suffix("").parts
    name = ".".join(parts[parts.index("site-packages") + 1 :]) if "site-packages" in parts else parts[-1]
    facts = {"name": name, "levelname": "WARNING", "levelno": logging.WARNING, "lineno": lineno}
    facts |= {"module": parts[-1], "msg": f"{category.__name__}: {message}"}
    _log.handle(logging.makeLogRecord(facts))
