"""Pages that need no network: jinja2 on a room's own templates, and on what all pages share."""

from __future__ import annotations

import jinja2


def environment(room: str, *, trim: bool = False) -> jinja2.Environment:
    """The templates of a room, such as ``clinical_qkt.prepare``; all pages share ``style.css``.

    Everything is escaped, since names of classes and sites come from other sites; a value that a template
    does not get is an error.

    Args:
        trim: leave out the line ends and blanks around a template's own statements.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in (room, "clinical_qkt.core")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=trim,
        lstrip_blocks=trim,
    )
