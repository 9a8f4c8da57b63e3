"""The bundle that is being run: how it is started, what its expressions share, and how its errors are told.

An error that the user can fix is printed without a traceback, and the launcher ends with the error's exit
code (see ``errors``).
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from monai.bundle import ConfigWorkflow

from clinical_qkt.bundle import config_keys, endings
from clinical_qkt.core import logs, stopping
from clinical_qkt.core.errors import InputError, explained
from clinical_qkt.core.runtime import mixed
from clinical_qkt.data.image_cache import images_in
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import Launch

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Running:
    """What MONAI's workflow does not carry to the expressions that it evaluates.

    Attributes:
        embedded: it runs in a program that tells the result itself.
        folder: into which the stage writes.
        launch: how it was started, if by ``launch``.
    """

    embedded: bool = False
    folder: Path | str = ""
    launch: Launch | None = None


NOW = Running()


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Print a ``QKTError`` as it is meant to be read, instead of MONAI's trace of the whole config."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as e:
            problem = explained(e, NOW.folder)
            if problem is None or NOW.embedded:
                raise
            print(f"error: {problem}", file=sys.stderr)
            raise SystemExit(problem.exit_code) from e

    return wrapper


def launch(what: Launch) -> None:
    """Run a stage in this process for whoever sits at the terminal: it ends with its result and what is next.

    Raises:
        QKTError: as the bundle's parts raise it.
    """
    NOW.launch = what
    try:
        run(what.files, embedded=False, bundle_root=str(what.bundle), **what.overrides)
    finally:
        NOW.launch = None


def run(config_files: Sequence[Path], *, embedded: bool = True, **overrides: Any) -> ConfigWorkflow:
    """Run a bundle in this process, as ``python -m monai.bundle run`` does in its own.

    Args:
        embedded: in a program that tells the result itself.

    Raises:
        QKTError: as the bundle's parts raise it.
    """
    NOW.embedded, before = embedded, NOW.embedded
    logging.disable(logging.WARNING)  # MONAI's notes on configs from several folders
    try:
        workflow = ConfigWorkflow(
            [str(f) for f in config_files], logging_file=False, workflow_type=None, **overrides
        )
        if not embedded:  # from here on the stage's log takes them
            logging.disable(logging.NOTSET)
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except Exception as e:
        problem = explained(e)
        if problem is None or problem is e:
            raise
        raise problem from None
    finally:
        NOW.embedded = before
        logging.disable(logging.NOTSET)
    return workflow


@plain_errors
def check() -> Site:
    """Check every key of the config that is being run, see ``config_keys``."""
    workflow = running_workflow()
    site = config_keys.check(workflow)
    command = workflow.parser["command"]
    vars(workflow)["run"] = in_its_way(workflow, site)
    logs.open_log(site.output_dir, command)
    if not NOW.embedded:
        private = "guarded" in workflow.parser
        places = {"share": site.package_dir, "query": site.query_dir, "transfer": site.transfer_dir}
        NOW.folder = places.get(command, site.output_dir)
        vars(workflow)["run"] = stopping.guarded(workflow.run, command, NOW.folder, private=private)
    return site


def in_its_way(workflow: ConfigWorkflow, site: Site) -> Callable[[], Any]:
    """How a workflow is run, so that all of it obeys the keys ``amp`` and ``image_cache``."""
    run, folder = workflow.run, site.output_dir / "unfinished" / "images"

    def running() -> Any:
        with mixed(bool(workflow.parser.get_parsed_content("amp"))), images_in(folder, site.image_cache):
            return run()

    return running


def bundle_root() -> str:
    """The folder of the bundle that is being run, wherever somebody put it."""
    return str(running_workflow().config_root_path.parent)


def launched() -> Launch:
    """How the stage was started, or could have been."""
    return NOW.launch or endings.launched(running_workflow())


def running_workflow() -> ConfigWorkflow:
    """The workflow that is evaluating this very expression.

    MONAI hands an expression nothing but the items it refers to, and an unknown key is referred to by none.
    So that the stock launcher stays, the workflow is looked up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, ConfigWorkflow):
            return caller
        frame = frame.f_back
    raise InputError("no bundle is being run", fix="use `python -m monai.bundle run`")
