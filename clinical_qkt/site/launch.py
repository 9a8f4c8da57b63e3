"""``clinical-qkt run STAGE SITE.yaml``: one command a stage.

From the stage's name and the site's YAML to the bundle's configs, and to the line by which MONAI's own
launcher runs the same. All of it is checked before torch is loaded.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.renamed import CONFIG, warn
from clinical_qkt.core.shipped_bundles import bundle_folder, chain, shipped, stages
from clinical_qkt.core.values import read_value
from clinical_qkt.core.yaml_file import read_yaml
from clinical_qkt.data.class_names import require_plain

CARRIED = (
    *(
        "site",
        "data",
        "classes",
        "query",
        "teachers",
        "responses",
        "published",
        "assessments",
        "mlflow",
        "policy",
        "ledger",
        "channels",
    ),
    *("output_dir", "package_dir", "query_dir", "reference_dir", "transfer_dir", "allow_mixed_sizes"),
    *("signing_key", "trusted_keys", "untrusted_packages"),
)
"""Overrides that the next stage needs, too, to find what this one wrote."""


@dataclass(frozen=True)
class Launch:
    """A stage that can be run.

    Attributes:
        stage: the name of its config.
        site: the site's YAML.
        bundle: the bundle's folder.
        named: whether the site's YAML names the bundle.
        words: overrides as they were given, by key.
    """

    stage: str
    site: Path
    bundle: Path
    named: bool
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """The configs in the order in which they are merged; the site's has the last word."""
        configs = self.bundle / "configs"
        return [*(configs / f"{name}.yaml" for name in chain(self.stage, stages(self.bundle))), self.site]

    @property
    def overrides(self) -> dict[str, Any]:
        """What MONAI's launcher would make of the words."""
        return {key: read_value(word) for key, word in self.words.items()}

    def line(self) -> str:
        """The equivalent line for a shell: MONAI's stock launcher, in the same folder."""
        files = ",".join(repr(str(_near(p))) for p in self.files)
        words = ["python", "-m", "monai.bundle", "run", "--config_file", f"[{files}]"]
        words += ["--bundle_root", str(_near(self.bundle))]
        for key, word in self.words.items():
            written = _written(word)
            words += [f"--{key}={written}"] if written.startswith("-") else [f"--{key}", written]
        return " ".join(map(quoted, words))

    def next_line(self, stage: str, **more: str | Path) -> str:
        """The command for another stage of the same site."""
        words = ["clinical-qkt", "run", stage, str(self.site)]
        if not self.named:
            words += ["--bundle", _named(self.bundle)]
        carried = {k: w for k, w in self.words.items() if k in CARRIED}
        for key, word in (carried | {k: str(v) for k, v in more.items()}).items():
            words += [f"--{key}={word}"] if word.startswith("-") else [f"--{key}", word]
        return " ".join(map(quoted, words))


def plan(stage: str, site: Path, words: Sequence[str], bundle: str | None = None) -> Launch:
    """Everything that can be checked of a command before torch is loaded.

    Args:
        stage: the name of one of the bundle's configs.
        site: the site's YAML.
        words: ``--key value`` and ``--key=value``.
        bundle: a shipped bundle's name or a folder, instead of the one that the site names.

    Raises:
        InputError: the file, the bundle, the stage or a key is wrong.
    """
    if Path(stage).suffix in (".yaml", ".yml"):
        fix = f"clinical-qkt run train {quoted(stage)}"
        raise InputError("stands where the stage's name belongs", where=stage, fix=fix)
    content = read_yaml(site)
    for key in ("classes", "query"):
        require_plain(_names(content.get(key)), f"{site}: {key}")
    folder = bundle_folder(bundle) if bundle else _named_bundle(site, content)
    known = stages(folder)
    if stage not in known:
        raise InputError(
            f"there is no stage '{stage}'", where=f"bundle {folder.name}", fix=one_of(stage, known)
        )
    return Launch(stage, site, folder, bundle is None, _overrides(words, stage, folder))


def _names(classes: Any) -> list[str]:
    """The names in a list of classes, as far as there is one."""
    listed = classes if isinstance(classes, list) else []
    named = [c.get("name") if isinstance(c, dict) else c for c in listed]
    return [name for name in named if isinstance(name, str)]


def _named_bundle(site: Path, content: dict[str, Any]) -> Path:
    name = content.get("bundle")
    if name is None or name == "":
        told = "; ".join(f"{n}: {_about(folder)}" for n, folder in shipped().items())
        fix = f"write 'bundle: NAME' into it, or give --bundle NAME. {told}"
        raise InputError("names no bundle", where=str(site), fix=fix)
    if not isinstance(name, str):
        fix = f"known: {', '.join(shipped())}"
        raise InputError(f"{name!r} is no bundle's name", where=f"{site}: bundle", fix=fix)
    return bundle_folder(name, where=f"{site}: bundle")


def _about(bundle: Path) -> str:
    """What a bundle is for, from its metadata."""
    about = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return str(about.get("task", "")).rstrip(".")


def _named(bundle: Path) -> str:
    """A bundle as ``--bundle`` finds it: a bare word is the name of one that is shipped."""
    if shipped().get(bundle.name) == bundle:
        return bundle.name
    return f"./{bundle}" if str(bundle) == bundle.name else str(bundle)


def _overrides(words: Sequence[str], stage: str, bundle: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for given, word in _pairs(words):
        key = _under_its_new_name(given, stage, bundle)
        _require_known(key, stage, bundle)
        if key in found:
            raise InputError("is given twice", where=f"--{key}", fix="give it once")
        found[key] = word
    return found


def _under_its_new_name(key: str, stage: str, bundle: Path) -> str:
    new = CONFIG.get(key)
    if new is None or new not in keys_of(stage, bundle):
        return key
    warn(key, new)
    return new


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``--key value`` and ``--key=value``, as MONAI's launcher takes them, but none without a value."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = re.fullmatch(r"--([^=]+)(?:=(.*))?", word, re.S)
        if not match:
            fix = f"give --key value; in quotes, where a value has blanks: --key {quoted(word + ' …')}"
            raise InputError(f"'{word}' belongs to no key", where="the command line", fix=fix)
        key, value = match[1].replace("-", "_"), match[2]
        if value is None:
            if not rest or re.match(r"--|-[A-Za-z]", rest[0]):
                fix = f"give it, e.g. --{key} true; as --{key}=VALUE where the value begins with '-'"
                raise InputError("has no value", where=f"--{key}", fix=fix)
            value = rest.pop(0)
        yield key, value


def _require_known(key: str, stage: str, bundle: Path) -> None:
    """A key that the stage's configs know; of nested ones the stage itself checks the rest.

    Raises:
        InputError: unknown; or another stage's.
    """
    top, all_stages = re.split(r"::|#", key)[0], stages(bundle)
    ours = keys_of(stage, bundle)
    if top in ours or top.startswith("_"):
        return
    elsewhere = [name for name in all_stages if top in _keys(bundle, name)]
    if elsewhere:
        fix = f"leave it out, or run `{elsewhere[0]}`"
        raise InputError(f"is a key of {' and '.join(elsewhere)}, not of {stage}", where=f"--{key}", fix=fix)
    raise InputError(f"unknown key '{key}'", where="the command line", fix=one_of(top, sorted(ours)))


def keys_of(stage: str, bundle: Path) -> set[str]:
    """The keys that the configs of a stage know."""
    return {key for name in chain(stage, stages(bundle)) for key in _keys(bundle, name)}


def _keys(bundle: Path, name: str) -> set[str]:
    text = (bundle / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    return {re.split(r"::|#", str(k).lstrip("+"))[0] for k in yaml.safe_load(text)}


def _written(word: str) -> str:
    """A word that gives MONAI's launcher the same value: it would take ``#`` for the start of a comment."""
    from fire.parser import DefaultParseValue

    return word if "#" not in word or DefaultParseValue(word) == read_value(word) else repr(word)


def _near(path: Path) -> Path:
    """Relative to the folder that the command is run in, if it is below it."""
    full = path.absolute()
    return full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full


def quoted(word: str) -> str:
    """A word for a shell; in double quotes where that is enough, since it is easier to read.

    >>> quoted("['a','b']"), quoted("plain"), quoted("$HOME")
    ('"[\\'a\\',\\'b\\']"', 'plain', "'$HOME'")
    """
    if shlex.quote(word) == word:
        return word
    return shlex.quote(word) if re.search(r'["$`\\!\n]', word) else f'"{word}"'
