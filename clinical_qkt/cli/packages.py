"""The commands ``package …`` and ``keys …``: what people do with packages and keys by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from clinical_qkt.cli.paths import require_new_folder, require_packages
from clinical_qkt.core.errors import InputError

if TYPE_CHECKING:
    from clinical_qkt.packages.signing import Trust

package = typer.Typer(no_args_is_help=True, help="Look at, check, sign and compare packages.")
keys = typer.Typer(no_args_is_help=True, help="Keys that packages are signed with.")
console = Console()

Folder = Annotated[
    Path, typer.Argument(help="Folder of a teacher package, a query, an answer or an assessment.")
]
SiteFile = Annotated[Path | None, typer.Option("--site", help="A site's YAML, which names whom it trusts.")]
Query = Annotated[Path | None, typer.Option("--query", help="The query that an answer is to.")]


def align(
    site: Annotated[Path, typer.Argument(help="Your site's YAML; its 'classes' and 'query' are read.")],
    packages: Annotated[list[Path], typer.Argument(help="Folders of teacher packages.")],
) -> None:
    """Show which classes of other sites' packages are which of yours.

    And what is ambiguous.
    """
    from clinical_qkt.cli.paths import require_packages
    from clinical_qkt.core.yaml_file import read_yaml

    read_yaml(site)
    require_packages(packages)
    from clinical_qkt.cli.align import run_align

    run_align(site, packages, console)


def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="PACKAGE_OR_RUN", help="A package's folder, or a transfer's or training's."),
    ],
    out: Annotated[Path, typer.Argument(help="New folder for the model and its contract.")],
    made_as: Annotated[
        Literal["torchscript", "onnx", "bundle"],
        typer.Option("--format", help="One file with its contract, or a bundle for MONAI's own launcher."),
    ],
    site: SiteFile = None,
    key: Annotated[Path | None, typer.Option(help="The sender's public key, instead of --site.")] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Check all but the signature: proves no sender.")
    ] = False,
    gate: Annotated[
        bool, typer.Option("--gate", help="Take 'none of these' along: a few numbers about own pictures.")
    ] = False,
) -> None:
    """Write a model for other programs, with its input contract inside and beside it.

    It is compared with the original first: nothing is written that would say something else.
    """
    _require_one(site, key, unsigned)
    _require_there(source)
    require_new_folder(out)
    from clinical_qkt.cli.export import run_export
    from clinical_qkt.export.export import package_of

    folder = package_of(source)
    run_export(folder, out, made_as, _trust(site, key, unsigned, folder), gate, console)


@package.command()
def verify(
    folder: Folder,
    site: SiteFile = None,
    key: Annotated[Path | None, typer.Option(help="The sender's public key, instead of --site.")] = None,
    query: Query = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Check all but the signature: proves no sender.")
    ] = False,
) -> None:
    """Check a package: files, digests, signature, card, tensors. Exit code 3 if it is refused."""
    _require_one(site, key, unsigned)
    _require_there(folder, query)
    trust = _trust(site, key, unsigned, folder)
    from clinical_qkt.packages.inspect import print_verified
    from clinical_qkt.packages.verify import verify as checked

    print_verified(console, checked(folder, trust, query))


@package.command()
def show(folder: Folder, query: Query = None) -> None:
    """Say what a package's card says, once it was found to be whole; the signature is not checked."""
    _require_there(folder, query)
    from clinical_qkt.packages.inspect import print_card, print_verified
    from clinical_qkt.packages.verify import verify as checked

    found = checked(folder, None, query)
    print_verified(console, found)
    print_card(console, found.card)


@package.command()
def sign(
    folder: Folder, key: Annotated[Path, typer.Option(help="The private key, NAME.key.")], query: Query = None
) -> None:
    """Sign a package of one's own that is there already."""
    _require_there(folder, query)
    from clinical_qkt.packages.inspect import print_verified
    from clinical_qkt.packages.signing import sign as write_signature
    from clinical_qkt.packages.verify import verify as checked

    found = checked(folder, None, query)
    write_signature(folder, key)
    print_verified(console, found)
    console.print(f"signed: {folder}", markup=False)


@package.command()
def adopt(
    folder: Folder,
    site: Annotated[Path, typer.Option(help="Your site's YAML.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Say that this site made a package itself, where its record does not know."""
    _require_there(folder)
    from clinical_qkt.site.adoption import adopt as adopted

    adopted(folder, site, console, yes=yes)


@package.command()
def diff(first: Folder, second: Folder, query: Query = None) -> None:
    """Show how two packages differ, card and tensors. Exit code 1 if they do."""
    _require_there(first, second, query)
    from clinical_qkt.packages.inspect import print_diff
    from clinical_qkt.packages.verify import verify as checked

    cards = checked(first, None, query).card, checked(second, None, query).card
    if print_diff(console, first, second, cards):
        raise SystemExit(1)


def _require_one(site: Path | None, key: Path | None, unsigned: bool) -> None:
    if [site is not None, key is not None, unsigned].count(True) != 1:
        raise InputError(
            "whose signature should it be?",
            where="--site, --key, --unsigned",
            fix="give one of them: the site's YAML with its 'trusted_keys', the sender's public key, or "
            "--unsigned to check all but the signature",
        )


def _trust(site: Path | None, key: Path | None, unsigned: bool, folder: Path) -> Trust | None:
    """Whose signature counts; None: it is not looked at."""
    from clinical_qkt.packages.signing import Trust
    from clinical_qkt.packages.verify import claimed_site
    from clinical_qkt.site.places import trust_of

    if site:
        return trust_of(site)
    return Trust({claimed_site(folder): key}) if key else None


def _require_there(*folders: Path | None) -> None:
    require_packages(folder for folder in folders if folder is not None)


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="The site's pseudonym.")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.key and NAME.pub.")] = Path("keys"),
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for one and encrypt the private key with it.")
    ] = False,
) -> None:
    """Make a pair of keys: NAME.key to keep, NAME.pub to give away."""
    from clinical_qkt.packages.signing import new_key

    secret = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True) if passphrase else None
    private, public, mark = new_key(name, out, secret)
    for line in (
        f"{private}: keep it; name it as 'signing_key' in the site's YAML",
        f"{public}: give it to the sites that you exchange packages with",
    ):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"fingerprint, to be compared by telephone: {mark}", soft_wrap=True)


@keys.command()
def fingerprint(key: Annotated[Path, typer.Argument(help="A public key, NAME.pub.")]) -> None:
    """Print a public key's fingerprint."""
    from clinical_qkt.packages.signing import fingerprint as of

    console.print(of(key), soft_wrap=True)
