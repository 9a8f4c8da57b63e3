"""Seeing what happens inside a network while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

See = Callable[[nn.Module, tuple[Any, ...], Any], None]
"""``(module, what it was given, what it gave)``."""


@contextmanager
def watching(see: See, *modules: nn.Module) -> Iterator[None]:
    """Call ``see`` whenever one of the modules has run, within this and no longer.

    Hooks that stayed would be copied with a network, and write to where the original's do.
    """
    with ExitStack() as hooks:
        for module in modules:
            hooks.enter_context(module.register_forward_hook(see))
        yield
