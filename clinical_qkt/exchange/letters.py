"""Letters: what sites write to each other, signed, with the files of a package behind it.

A letter's content, as it is sealed into a parcel: eight bytes with the length of what follows; a JSON object
of the letter's text and its signature; the files one after another, in the letter's order; zeros.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, model_validator

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.core.files import private_folder, sha256, write_whole
from clinical_qkt.core.refusals import sentences
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.values import Sent
from clinical_qkt.data.label_space import DistinctClasses
from clinical_qkt.exchange import signed_text
from clinical_qkt.exchange.parcel import Envelope
from clinical_qkt.packages import plain_json

PURPOSE = b"clinical-qkt/letter/1"
FILES = ("card.json", "SHA256SUMS", "package.sig", "extractor.safetensors", "statistics.safetensors")
MODEL_FILES = ("model.safetensors", "nothing.safetensors")
_HEAD_BYTES = 200_000
_LENGTH = 8
_AT_ONCE = 1 << 20
_RESEND = "the sender sends it again, with the same version of clinical-qkt as this site"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Wants = Literal["statistics", "model", "assessment"]
"""What is asked for: numbers of images, a teacher package, or counts of how well a new model does."""


class SentFile(Sent):
    """A file of the package that a letter brings."""

    name: Literal[FILES + MODEL_FILES]  # type: ignore[valid-type]
    """One of those that packages are made of."""
    bytes: int = Field(ge=0, le=4_000_000_000)
    """Its size."""
    sha256: Digest
    """Its digest."""


class Letter(Sent):
    """What every letter says."""

    format: Literal["clinical-qkt/letter/1"] = "clinical-qkt/letter/1"
    """The version of this schema."""
    exchange: str = Field(pattern=r"^[0-9a-f]{32}$")
    """Random digits by which asker and asked know what belongs together."""
    sender: str = Field(pattern=PSEUDONYM)
    """Who writes; the signature proves it."""
    receiver: str = Field(pattern=PSEUDONYM)
    """To whom; nobody else takes it."""
    sent: AwareDatetime
    """When it was written, by the sender's clock."""
    files: list[SentFile] = Field(default=[], max_length=6)
    """The package behind it."""

    @property
    def envelope(self) -> Envelope:
        kind = getattr(self, "kind")  # noqa: B009 - of each letter's own
        return Envelope(exchange=self.exchange, kind=kind, sender=self.sender, receiver=self.receiver)

    @model_validator(mode="after")
    def _each_file_once(self) -> Letter:
        if len({f.name for f in self.files}) < len(self.files):
            raise ValueError("files: one is named twice")
        return self


class Ask(Letter):
    """One site asks another."""

    kind: Literal["ask"] = "ask"
    """That it is an ask."""
    wants: Wants
    """What for."""
    classes: DistinctClasses = Field(max_length=100)
    """The classes that it is about; none where the package is a reference."""
    about: Digest
    """Of the card of the query package that comes along; of an ask for a model, of nothing but its own
    classes; of an assessment, of the new model's card."""
    deadline: AwareDatetime
    """Until when an answer is of use."""


class Reply(Letter):
    """What comes back to an ask."""

    kind: Literal["reply"] = "reply"
    """That it is a reply."""
    about: Digest
    """As in the ask."""
    declined: str | None = Field(default=None, max_length=300)
    """Why there is no package; null if there is one."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Reply:
        if (self.declined is None) != bool(self.files):
            raise ValueError("declined: either a package or a reason for none")
        return self


class Receipt(Letter):
    """What became of a letter, for its sender."""

    kind: Literal["receipt"] = "receipt"
    """That it is a receipt."""
    of: Digest
    """Of the letter's text."""
    how: Literal["taken", "refused", "expired", "closed"]
    """Taken: it lies at the receiver. Refused: it, or its package, is not as it should be. Expired: it came
    after its deadline. Closed: nobody waits for it any more."""


AnyLetter = Annotated[Ask | Reply | Receipt, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[Ask | Reply | Receipt] = TypeAdapter(AnyLetter)


def now() -> datetime.datetime:
    """The time, to the second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def about_classes(classes: Iterable[str]) -> str:
    """What an ask for a model is about: the digest of its classes' names."""
    return hashlib.sha256("\n".join(sorted(classes)).encode()).hexdigest()


def letter_id(text: str) -> str:
    """By what a letter is known: the digest of its text."""
    return hashlib.sha256(text.encode()).hexdigest()


def sent_files(folder: Path) -> list[SentFile]:
    """What a letter says of a package's files.

    Raises:
        InputError: the folder holds something else.
    """
    found = sorted(folder.iterdir())
    if other := next((p for p in found if p.name not in FILES + MODEL_FILES or not p.is_file()), None):
        raise InputError(
            f"holds '{other.name}', which belongs to no package",
            where=str(folder),
            fix="move it away, or write the package anew",
        )
    return [SentFile(name=p.name, bytes=p.stat().st_size, sha256=sha256(p)) for p in found]


def write_letter(path: Path, letter: Letter, signing_key: Path, package: Path | None = None) -> str:
    """Write a letter's content, to be sealed; gives the letter's id."""
    text = letter.model_dump_json()
    head = {"letter": text, "signature": signed_text.sign(text.encode(), signing_key, PURPOSE)}
    raw = json.dumps(head).encode()

    def write(part: Path) -> None:
        with part.open("wb") as to:
            to.write(len(raw).to_bytes(_LENGTH, "big") + raw)
            for file in letter.files:
                assert package is not None
                with (package / file.name).open("rb") as f:
                    while block := f.read(_AT_ONCE):
                        to.write(block)

    write_whole(path, write, private=True)
    return letter_id(text)


def read_letter(
    path: Path, envelope: Envelope, receiver: str, keys: Mapping[str, Path], package: Path
) -> tuple[Ask | Reply | Receipt, str]:
    """A letter out of its content, once its signature was found to be the sender's; its files are written.

    Args:
        envelope: of the parcel that it came in.
        receiver: this site's pseudonym.
        keys: public keys of those whom this site trusts.
        package: the folder into which its files are written, each compared with its digest.

    Returns:
        The letter and its text.

    Raises:
        PackageError: it is not as it should be; nothing of it is used.
    """
    with path.open("rb") as f:
        size = int.from_bytes(f.read(_LENGTH), "big")
        if size > _HEAD_BYTES:
            raise _refused("has no letter in it")
        letter, text = _proven(f.read(size), keys)
        if letter.envelope != envelope:
            raise _refused("says something else outside than inside")
        if letter.receiver != receiver:
            raise _refused(f"is for '{letter.receiver}'")
        if letter.files:
            private_folder(package)
        for file in letter.files:
            if path.stat().st_size - f.tell() < file.bytes:
                raise _refused("is cut off")
            digest, left = hashlib.sha256(), file.bytes
            with (package / file.name).open("xb") as to:
                while left and (block := f.read(min(left, _AT_ONCE))):
                    to.write(block)
                    digest.update(block)
                    left -= len(block)
            if digest.hexdigest() != file.sha256:
                raise _refused(f"brings a file that is not the one of the letter: {file.name}")
    return letter, text


def _proven(head: bytes, keys: Mapping[str, Path]) -> tuple[Ask | Reply | Receipt, str]:
    try:
        told = plain_json.parse(head)
        text, signature = told["letter"], told["signature"]
        value = plain_json.parse(text.encode())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _refused("has a letter that cannot be read") from None
    if isinstance(value, dict) and value.get("format") != PURPOSE.decode():
        raise _refused("has a letter of another version")
    try:
        letter = _ADAPTER.validate_python(value) if isinstance(value, dict) else None
        doubts = plain_json.problems(value)
    except ValidationError as e:
        raise _refused(f"has a letter that is not as it should be: {'; '.join(sentences(e)[:3])}") from None
    except Exception as e:  # a check that another site's values break refuses them all the same
        raise _refused(f"has a letter that cannot be checked ({type(e).__name__})") from None
    if letter is None or doubts:
        raise _refused(f"has a letter that is not as it should be: {'; '.join(doubts[:3])}")
    key = keys.get(letter.sender)
    if key is None:
        raise UnknownSender(f"this site holds no key of '{letter.sender}'")
    if not isinstance(signature, str) or not signed_text.holds(text.encode(), signature, key, PURPOSE):
        raise _refused(f"is not signed by '{letter.sender}'")
    return letter, text


class UnknownSender(PackageError):
    """A letter of a site whose key this one does not hold; no human is bothered with it."""


def _refused(what: str) -> PackageError:
    return PackageError(what, fix=_RESEND)
