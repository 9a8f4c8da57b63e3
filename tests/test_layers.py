"""The house holds: rooms on floors, no circle, nothing imported that is not there.

``python -m tests.test_layers`` prints the rooms, their floors, their sizes and what each imports.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGE = "clinical_qkt"
FLOORS = (
    ("core", "tasks"),
    ("data", "statistics"),
    ("networks", "privacy", "evidence"),
    ("packages", "training", "prepare"),
    ("site", "audit", "export"),
    ("review", "query"),
    ("qkt", "assessment"),
    ("bundle",),
    ("checking", "monitoring", "worklist", "exchange"),
    ("research",),
    ("cli",),
    ("documentation",),
)
"""From the ground up. A room imports rooms of lower floors alone."""
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
BEGIN, END = "<!-- made by tests.test_layers -->", "<!-- end: rooms -->"
DOOR = ""
"""How the house is entered, as a library and as a command: above all rooms, and no room goes out to it."""
MOST_FLOORS = 13
MOST_LINES = 300
TOO_LONG: set[str] = set()
"""Modules that are still too long; one that was mended has to leave this list."""


class Module(NamedTuple):
    """What a file says of itself.

    Attributes:
        imports: pairs of a module of ours and a name in it, wherever in the file they stand, inside functions
            as well; no name where the module itself is imported.
        types: those of them that only a type checker follows.
        names: what it defines at its top, or imports there.
    """

    path: str
    lines: int
    imports: frozenset[tuple[str, str]]
    types: frozenset[tuple[str, str]]
    names: frozenset[str]
    doc: str


def modules(root: Path = ROOT) -> dict[str, Module]:
    """Every module of the package, by its dotted name; a package's name is that of its ``__init__``."""
    return _all_of(root)


@cache
def _all_of(root: Path) -> dict[str, Module]:
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = _read(path, root)
    return found


def _read(path: Path, root: Path) -> Module:
    text = path.read_text()
    tree = ast.parse(text)
    checking = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    types = frozenset(found for node in checking for inner in ast.walk(node) for found in _imports(inner))
    imports = frozenset(found for node in ast.walk(tree) for found in _imports(node))
    name = path.relative_to(root / PACKAGE).as_posix()
    names, said = frozenset(_defined(tree.body)), ast.get_docstring(tree) or ""
    return Module(name, text.count("\n"), imports, types, names, said)


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == PACKAGE):
        yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from ((a.name, "") for a in node.names if a.name.split(".")[0] == PACKAGE)


def _defined(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
            yield from (n.id for n in stored)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _defined([*node.body, *getattr(node, "orelse", ())])


def resolved(module: str, name: str, root: Path = ROOT) -> str | None:
    """The module of ours that an import needs; None if there is none, or no such name in it."""
    if f"{module}.{name}" in modules(root):
        return f"{module}.{name}"
    there = modules(root).get(module)
    return module if there and (not name or name in there.names) else None


def files(root: Path = ROOT) -> dict[str, set[str]]:
    """Of each module, the others that it imports, be it for their types alone."""
    return {name: _others(name, module.imports, root) for name, module in modules(root).items()}


def running(root: Path = ROOT) -> dict[str, set[str]]:
    """Of each module, the others that it imports when it runs."""
    return {name: _others(name, m.imports - m.types, root) for name, m in modules(root).items()}


def _others(name: str, imports: frozenset[tuple[str, str]], root: Path) -> set[str]:
    return {found for i in imports if (found := resolved(*i, root))} - {name}


def room(module: str) -> str:
    """The room that a module lies in; ``DOOR`` for the package itself and ``__main__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else DOOR


def rooms(root: Path = ROOT) -> dict[str, set[str]]:
    """Of each room, the others that it imports."""
    found: dict[str, set[str]] = {}
    for name, imported in files(root).items():
        found.setdefault(room(name), set()).update({room(i) for i in imported} - {room(name)})
    return found


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Some circle, empty if there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as e:
        return list(e.args[1])
    return []


def floor(name: str) -> int:
    """Written down, from 1 on; the door is above all rooms."""
    return next((i for i, on in enumerate(FLOORS, 1) if name in on), len(FLOORS) + 1)


def test_a_room_imports_only_rooms_of_lower_floors():
    upwards = [
        f"{name} imports {imported}"
        for name, all_imported in files().items()
        for imported in all_imported
        if room(name) != room(imported) and floor(room(name)) <= floor(room(imported))
    ]
    assert not upwards and len(files()) > 200


def test_no_files_and_no_rooms_import_one_another_in_a_circle():
    assert not circle(running()) and not circle(rooms())
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_the_house_has_thirteen_floors_at_most():
    assert len(FLOORS) + 1 <= MOST_FLOORS


def test_every_room_has_its_floor_and_nothing_else_lies_in_the_root():
    entries = {p.name for p in (ROOT / PACKAGE).iterdir() if p.name != "__pycache__"}
    assert entries == {"__init__.py", "__main__.py", *(name for on in FLOORS for name in on)}


def test_every_imported_name_of_ours_exists():
    lost = [(m.path, *i) for m in modules().values() for i in m.imports if resolved(*i) is None]
    assert not lost
    assert resolved(PACKAGE + ".core.errors", "QKTError") and not resolved(PACKAGE + ".core.errors", "QKTErr")


def test_no_module_is_longer_than_a_person_reads_at_once():
    """If this names a module that was mended: take it out of ``TOO_LONG``."""
    assert {m.path for m in modules().values() if m.lines > MOST_LINES} == TOO_LONG


def test_the_table_of_the_architecture_page_is_what_the_code_does():
    again = "run `python -m tests.test_layers --write`, and look whether the new imports should be"
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8"), again


def table() -> Iterator[str]:
    """The rooms from the top: their floors, what each imports, and what its ``__init__`` says of it."""
    yield BEGIN
    yield "| floor | room | imports | what it is |"
    yield "| ---: | --- | --- | --- |"
    for name in (name for on in reversed(FLOORS) for name in on):
        imported = sorted(rooms()[name], key=lambda r: (floor(r), r))
        said = (modules()[f"{PACKAGE}.{name}"].doc.splitlines() or [""])[0].replace("``", "`")
        yield f"| {floor(name)} | `{name}` | {', '.join(imported) or 'nothing'} | {said} |"
    yield END


def write() -> None:
    """Put the table into the architecture page."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(before + "\n".join(table()) + after, encoding="utf-8")


def sizes() -> Iterator[str]:
    """A line a room: floor, modules, lines, imports."""
    for name in (name for on in reversed(FLOORS) for name in on):
        mine = [m for module, m in modules().items() if room(module) == name]
        size = f"{len(mine):3} modules, {sum(m.lines for m in mine):5} lines"
        yield f"{floor(name):2}  {name:13}  {size};  imports {', '.join(sorted(rooms()[name])) or 'nothing'}"


def whole(root: Path) -> str:
    """How large a house is, of this checkout or of another."""
    inside = {name: imported - {DOOR} for name, imported in rooms(root).items() if name != DOOR}
    return (
        f"{len(inside)} rooms, {sum(map(len, inside.values()))} imports between them; "
        f"{len(files(root))} modules, {sum(map(len, files(root).values()))} imports between them; "
        f"{sum(m.lines for m in modules(root).values())} lines; a circle of modules: "
        f"{' -> '.join(circle(running(root))) or 'none'}; of rooms: {' -> '.join(circle(inside)) or 'none'}"
    )


def main() -> None:
    """Print the rooms and how large the house is; of another checkout the latter alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="?", type=Path, help="another version, to compare with")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    told = parser.parse_args()
    if told.checkout is None:
        print("\n".join(sizes()))
    print(whole(told.checkout or ROOT))
    if told.write:
        write()


if __name__ == "__main__":
    main()
