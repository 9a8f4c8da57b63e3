"""A YAML file as it stands, before anything is known of what it should say.

Nothing here needs torch, so that a wrong path is told at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from clinical_qkt.core.errors import InputError

EXAMPLE = "start from the site.yaml that `clinical-qkt prepare` writes, or from configs/sites/example.yaml"


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file that is a mapping.

    Raises:
        InputError: it is not there, is a folder, is no text in UTF-8, is no YAML, is no mapping, or says a
            key twice, of which YAML would silently take the last.
    """
    text = _text(path)
    try:
        twice = next(_twice(yaml.compose(text, Loader=yaml.SafeLoader)), None)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise InputError(f"is no YAML file ({_told(e)})", where=str(path), fix=EXAMPLE) from None
    if not isinstance(content, dict):
        raise InputError("holds no 'key: value' lines", where=str(path), fix=EXAMPLE)
    if twice:
        key, line = twice
        raise InputError(f"says '{key}' twice", where=f"{path}: line {line}", fix="keep one of the two")
    return content


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            fix = "name the YAML file in it" if any(path.glob("*.y*ml")) else EXAMPLE
            raise InputError("is a folder, not a site's YAML file", where=str(path), fix=fix)
        if not path.is_file():
            fix = f"give the path of the site's YAML file; this folder is {Path.cwd()}"
            raise InputError("there is no such file", where=str(path), fix=fix)
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("is no text in UTF-8", where=str(path), fix="save it as UTF-8") from None
    except OSError as e:
        raise InputError(
            f"cannot be read ({e.strerror})", where=str(path), fix="make it readable for you"
        ) from None


def _twice(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Keys that a mapping says a second time, each with its line."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                yield key.value, key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
            yield from _twice(value)


def _told(error: Exception) -> str:
    """What the parser says, in one line without quoting the file."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "a value cannot be read"
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
