"""What an exchange costs the asking site with so many others: parcels, sweep, and the transfer after it.

    python -m clinical_qkt.research.benchmark.exchange_scale [--sites 64,256,1000] [--models 64] [--out DIR]

A small demo gives a query, a response and a model; the others are copies of these with names and keys of
their own, each signed, sealed and left in the asker's mailbox. Then the asker's commands are run as
`clinical-qkt` runs them, each in a process of its own: seconds of CPU, and the most memory that one held.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import sha256, write_json, write_text
from clinical_qkt.core.state_folder import state_in
from clinical_qkt.exchange.at_desk import AtDesk, at_desk
from clinical_qkt.exchange.carriers.folder import Folder
from clinical_qkt.exchange.collected import collected
from clinical_qkt.exchange.letters import Reply, Wants, now, sent_files, write_letter
from clinical_qkt.exchange.parcel import seal
from clinical_qkt.exchange.sealing_keys import new_sealing_key
from clinical_qkt.packages.key_files import new_key
from clinical_qkt.packages.signing import SIGNATURE, sign
from clinical_qkt.packages.writer import CARD, SUMS
from clinical_qkt.research.demo import run_demo
from clinical_qkt.research.simulated_sites import DemoSettings

_WATCHED = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss], open(sys.argv[1], "w"))
sys.exit(code)
"""
"""A small process between: what is started from one that holds torch counts the latter's memory, too."""
HEADS = (
    "asked for",
    "sites",
    "MB of packages",
    "MB in the mailbox",
    "asking",
    "sweep",
    "transfer",
    "MB, sweep",
    "MB, transfer",
)


def measure(sites: int, wants: Wants, demo: Path, folder: Path) -> dict[str, Any]:
    """One exchange with so many sites.

    Returns:
        CPU seconds and MB of each command, and how many bytes were carried.

    Raises:
        OutputError: a command failed.
    """
    desk = _asker(demo, folder, sites)
    source = demo / "packages" / _answering(demo)
    named = [f"site_{i}" for i in range(sites)]
    spent = {"asking": _run(folder, "exchange", "ask", str(desk.yaml), "--to", "all", "--wants", wants)}
    content = parcels = 0
    for row in desk.store.of("out", "ask"):
        package = _copy(source, folder, row.peer)
        content += sum(f.bytes for f in sent_files(package))
        parcels += _reply(desk, row.letter.exchange, row.ask.about, row.peer, package, folder)
        shutil.rmtree(package)
    spent["sweep"] = _run(folder, "exchange", "sweep", str(desk.yaml))
    found = collected(desk)
    if sum(map(len, found.values())) != len(named):
        raise OutputError("some replies were refused", where=str(folder), fix="see `exchange status`")
    words = [w for key, folders in found.items() for w in (f"--{key}", str([str(f) for f in folders]))]
    spent["transfer"] = _run(folder, "run", "transfer", str(desk.yaml), "--register_model", "false", *words)
    return {"sites": sites, "wants": wants, "packages": content, "parcels": parcels, **spent}


def _answering(demo: Path) -> str:
    """A site of the demo whose response holds numbers, or that gave a model."""
    for card in sorted(demo.glob("packages/hospital_*/card.json")):
        told = json.loads(card.read_text())
        if any(a["kind"] for a in told.get("answers", [{"kind": "model"}])):
            return card.parent.name
    raise OutputError("nobody answered in the demo", where=str(demo), fix="try another seed")


def _asker(demo: Path, folder: Path, sites: int) -> AtDesk:
    """The demo's student with so many others whose keys it holds."""
    (yaml_file,) = [p for p in (demo / "sites").glob("*.yaml") if "query" in yaml.safe_load(p.read_text())]
    values = yaml.safe_load(yaml_file.read_text())
    own = values["signing_key"]
    keys, others = folder / "keys", [f"site_{i}" for i in range(sites)]
    for other in others:
        new_key(other, keys)
    first = new_sealing_key(others[0], keys / f"{others[0]}.sealing", keys / f"{others[0]}.key")
    for other in others[1:]:
        new_sealing_key(other, keys / f"{other}.sealing", keys / f"{other}.key")
    new_sealing_key(values["site"], keys / "own.sealing", Path(own))
    for key in ("responses", "teachers"):
        values.pop(key, None)
    values["trusted_keys"] = {other: str(keys / f"{other}.pub") for other in others}
    values["exchange"] = {
        "folder": str(folder / "mailbox"),
        "desk": str(folder / "desk"),
        "sealing_key": str(keys / "own.sealing"),
        "sealing_keys": {other: str(first.with_name(f"{other}.sealing.pub")) for other in others},
        "quota": 10**11,
    }
    values["transfer_dir"] = str(folder / "transfer")
    write_text(folder / "asker.yaml", yaml.safe_dump(values))
    return at_desk(folder / "asker.yaml")


def _copy(source: Path, folder: Path, site: str) -> Path:
    """A package of another name and key."""
    package = folder / "copied"
    shutil.copytree(source, package)
    card = json.loads((package / CARD).read_text()) | {"site": site}
    write_text(package / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    tensors = next(p for p in package.iterdir() if p.suffix == ".safetensors")
    write_text(package / SUMS, "".join(f"{sha256(p)}  {p.name}\n" for p in (package / CARD, tensors)))
    (package / SIGNATURE).unlink(missing_ok=True)
    sign(package, folder / "keys" / f"{site}.key")
    return package


def _reply(desk: AtDesk, exchange: str, about: str, site: str, package: Path, folder: Path) -> int:
    """Left in the asker's mailbox; its bytes."""
    letter = Reply(
        exchange=exchange, sender=site, receiver=desk.site, sent=now(), about=about, files=sent_files(package)
    )
    content, parcel = folder / "content", folder / "reply.parcel"
    write_letter(content, letter, folder / "keys" / f"{site}.key", package)
    seal(parcel, letter.envelope, content, desk.opens.public_key())
    Folder(desk.settings.folder, site).put(desk.site, parcel)
    return parcel.stat().st_size


def _run(folder: Path, *words: str) -> dict[str, float]:
    """A command of ours in its own process: CPU seconds, and the most memory that it or a child held."""
    command, used = [sys.executable, "-m", "clinical_qkt", *words], folder / "used.json"
    with (folder / "log.txt").open("ab") as log:
        ended = subprocess.run([sys.executable, "-c", _WATCHED, str(used), *command], stdout=log, stderr=log)
    if ended.returncode:
        raise OutputError("a command failed", where=" ".join(words[:3]), fix=f"see {folder / 'log.txt'}")
    seconds, kilobytes = json.loads(used.read_text())
    return {"seconds": round(seconds, 1), "megabytes": round(kilobytes / 1024)}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown; seconds are of CPU.

    >>> spent = {k: {"seconds": 1.5, "megabytes": 600} for k in ("asking", "sweep", "transfer")}
    >>> row = {"sites": 64, "wants": "statistics", "packages": 4_000_000, "parcels": 8_000_000}
    >>> print(table([row | spent]).splitlines()[-1])
    | statistics | 64 | 4.0 | 8.0 | 1.5 | 1.5 | 1.5 | 600 | 600 |
    """
    lines = [f"| {' | '.join(HEADS)} |", "| --- |" + " ---: |" * (len(HEADS) - 1)]
    for row in rows:
        size = [f"{row[k] / 1e6:.1f}" for k in ("packages", "parcels")]
        seconds = [f"{row[k]['seconds']:.1f}" for k in ("asking", "sweep", "transfer")]
        memory = [str(row[k]["megabytes"]) for k in ("sweep", "transfer")]
        lines.append(f"| {' | '.join([row['wants'], str(row['sites']), *size, *seconds, *memory])} |")
    return "\n".join(lines)


def main(
    sites: Annotated[
        str, typer.Option(help="How many, for statistics; separated by commas.")
    ] = "64,256,1000",
    models: Annotated[str, typer.Option(help="How many, for models; empty for none.")] = "16,64",
    out: Annotated[Path, typer.Option(help="A new folder.")] = Path("runs/exchange_scale"),
) -> None:
    """Measure, and print the table."""
    rows, console = [], Console()
    for wants, counts in (("statistics", sites), ("model", models)):
        for count in (int(word) for word in counts.split(",") if word):
            demo = out / wants
            gives: Any = "private" if wants == "statistics" else "models"
            settings = DemoSettings(sites=3, max_epochs=1, gained_from=gives)
            if not (demo / "summary.json").is_file():
                run_demo(settings, demo, overwrite=True, console=console)
            if not (demo / "packages" / "query").is_dir():
                _query(demo)
            folder = out / f"{wants}_{count}"
            folder.mkdir()
            with state_in(folder / "state"):
                rows.append(measure(count, wants, demo.absolute(), folder.absolute()))  # type: ignore[arg-type]
            write_json(out / "exchange_scale.json", rows)
            console.print(table(rows), soft_wrap=True, markup=False)


def _query(demo: Path) -> None:
    """Of a demo that handed over models: asks for models name the query's classes."""
    (yaml_file,) = [p for p in (demo / "sites").glob("*.yaml") if "query" in yaml.safe_load(p.read_text())]
    with state_in(demo / "state"):
        _run(demo, "run", "query", str(yaml_file), "--yes", "true")


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
