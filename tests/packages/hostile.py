"""Hostile packages: valid signed ones, each changed in one place, from a seed.

A change is made in one of two ways. After signing: digests and signature no longer fit. Or resealed: digests
are made anew and the package is signed again with a key that the receiving site trusts, so that nothing but
the checks of the content stand between it and the site. What is harmless in itself, such as one weight's bit,
is only changed in the first way.

A new kind of change is a function below under ``@kind``; its name is the name of its test.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import shutil
import struct
import tarfile
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinical_qkt.core.files import sha256
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look import numbers, scale_of
from clinical_qkt.networks.committee import CommitteeSpec, Seat
from clinical_qkt.networks.extractor import Extractor, PoolingSpec, describe
from clinical_qkt.networks.gaussian_classifier import GaussianSpec
from clinical_qkt.networks.multihead import MultiHeadSpec
from clinical_qkt.networks.spec import NetworkSpec, find_head
from clinical_qkt.packages.card import Card, KnowledgeMask
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.packages.made_of import TakenIn
from clinical_qkt.packages.model import save_model
from clinical_qkt.packages.query import QueryCard, load_query, save_query
from clinical_qkt.packages.response import ClassResponse, ResponseCard, save_response
from clinical_qkt.packages.signing import SIGNATURE, Trust, new_key, sign
from clinical_qkt.packages.told_look import LookNumbers, NoisedCounts, Shares, ToldLook
from clinical_qkt.packages.writer import CARD, SUMS
from clinical_qkt.privacy.mechanisms import Release
from clinical_qkt.privacy.statement import (
    DifferentialPrivacy,
    MembershipFigures,
    PrivacyAudit,
    PrivacyStatement,
    TrainingSummary,
)
from clinical_qkt.statistics.class_statistics import class_statistics

HERE = InputContract(channels=3, spatial_size=[28, 28])
SITE, OTHER = "hospital_a", "hospital_b"
CLASSES = ["lymphocyte", {"name": "monocyte", "system": "http://snomed.info/sct", "code": "55918008"}, "c"]
MODELS = {
    "resnet": NetworkSpec(
        name="ResNet", spatial_dims=2, in_channels=3,
        args={"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [8, 8, 16, 16],
        "no_max_pool": True},
    ),
    "densenet": NetworkSpec(
        name="DenseNet121", spatial_dims=2, in_channels=3,
        args={"init_features": 8, "growth_rate": 4, "block_config": [2, 2]},
    ),
    "efficientnet": NetworkSpec(
        name="EfficientNet", spatial_dims=2, in_channels=3,
        args={"blocks_args_str": ["r1_k3_s11_e1_i32_o16_se0.25"], "norm": "batch"},
    ),
    "vit": NetworkSpec(
        name="ViT", spatial_dims=2, in_channels=3,
        args={
            "img_size": [28, 28], "patch_size": [7, 7], "hidden_size": 24, "mlp_dim": 48, "num_layers": 2,
            "num_heads": 2,
        },
    ),
}  # fmt: skip
BASES = [*MODELS, "committee", "gaussian", "multihead", "query", "answer"]


@dataclass
class World:
    """Valid packages, an older edition of each, and who trusts whom.

    Attributes:
        valid, older: signed packages of ``SITE`` by name.
        keys: private keys of ``SITE``, of ``OTHER``, which is trusted too, and of a stranger.
        trust: of the site that receives them.
        canary: a file that a payload would create.
    """

    folder: Path
    valid: dict[str, Path]
    older: dict[str, Path]
    keys: dict[str, Path]
    trust: Trust
    canary: Path

    @property
    def query(self) -> Path:
        return self.valid["query"]


def world(folder: Path) -> World:
    """Make it; the same every time but for the keys."""
    pairs = {name: new_key(name, folder / "keys") for name in (SITE, OTHER, "stranger")}
    keys = {name: pair[0] for name, pair in pairs.items()}
    trust = Trust({name: pairs[name][1] for name in (SITE, OTHER)})
    editions: list[dict[str, Path]] = []
    for name, seed, day in (("valid", 0, "2026-03-02"), ("older", 1, "2025-11-30")):
        torch.manual_seed(seed)
        editions.append(dict(_edition(folder / name, day, keys[SITE])))
    return World(folder, *editions, keys, trust, folder / "canary")


def _edition(folder: Path, day: str, key: Path) -> Iterator[tuple[str, Path]]:
    seats = [Seat(network=MODELS[n], input=HERE, columns=[0, i + 1]) for i, n in enumerate(["resnet", "vit"])]
    extractor = _extractor()
    networks = {
        **MODELS,
        "committee": CommitteeSpec(input=HERE, members=seats, width=4),
        "gaussian": GaussianSpec(extractor=extractor.spec, own=2, gaussians=3),
        "multihead": MultiHeadSpec(
            body=PoolingSpec(**extractor.spec.model_dump(exclude={"features", "mirror_axes"})),
            columns=[0, 3], heads=[[0, 1], [1, 2]], own=1, width=4,
        ),
    }  # fmt: skip
    for name, spec in networks.items():
        network = spec.build(3)
        save_model(folder / name, network, _card(spec, find_head(network), day), signing_key=key)
        yield name, folder / name
    asked = QueryCard(
        site=SITE, task="blood_cells", created=day, extractor=extractor.spec, input=HERE, query=CLASSES,
        welcome=["covariance", "diagonal", "private_mean"], private_axes=16, radius=5.0,
        model_sha256="0" * 64, looks=LOOKS,
    )  # fmt: skip
    save_query(folder / "query", extractor, asked, torch.randn(2, extractor.spec.features), signing_key=key)
    yield "query", folder / "query"
    query = load_query(folder / "query")
    exact = class_statistics(torch.randn(50, extractor.spec.features))
    noisy = Release(list(range(-8, 8)), 40 * 256)
    private = {"epsilon": 1.0, "delta": 1e-5, "unit": "patient"}
    answers = [
        ClassResponse(label=CLASSES[0], kind="covariance", count=50, look=EXACTLY),
        ClassResponse(
            label=CLASSES[1], kind="private_mean", noised_count=noisy.count, look=PRIVATELY, **private
        ),
        ClassResponse(label=CLASSES[2], declined="this site has no such class"),
    ]
    look = torch.arange(len(LOOKS.spread))
    looks = {
        0: LookNumbers(torch.randn(extractor.spec.features)),
        1: LookNumbers(torch.arange(17), look, look, look),
    }
    told = ResponseCard(
        site=SITE, task="blood_cells", created=day, query_sha256=query.digest, answers=answers
    )  # fmt: skip
    save_response(folder / "answer", told, [exact, noisy, None], looks, signing_key=key)
    yield "answer", folder / "answer"


_NUMBERS = [0.3] * numbers(HERE.channels)
LOOKS = SentLooks(
    scale=scale_of(HERE.intensity, HERE.channels),
    classes=[{"label": name, "count": 40, "numbers": _NUMBERS} for name in ("known", "known too")],
    spread=[0.5 for _ in _NUMBERS],
)
"""What the query tells of looks, and what the responses to it do."""
EXACTLY = ToldLook(
    shared=["known"], counts=[30], mapped=True, seen=[0.8 for _ in _NUMBERS], wanted=_NUMBERS, distance=1.0
)
PRIVATELY = ToldLook(
    shared=["known too"],
    mapped=True,
    shares=Shares(coarse=0.05, middle=0.05, fine=0.2, residual=0.3, mean=0.4),
    noised_counts=NoisedCounts(coarse=10_000, middle=9_500, fine=9_000, residual=11_000),
)


def _extractor() -> Extractor:
    network = MODELS["resnet"].build(2).eval()
    return Extractor(describe(network, MODELS["resnet"], ["bn1", "layer1"], HERE), network)


def _card(spec: Any, head: str, day: str) -> Card:
    """A card with every field filled, so that every field can be changed."""
    figures = MembershipFigures(
        attack="likelihood_ratio", of="all_classes", auc=0.53, tpr_at_1_percent=0.02, tpr_at_01_percent=None,
        members=400, others=400,
    )  # fmt: skip
    names = ["lymphocyte", "monocyte", "c"]
    return Card(
        site=SITE, task="blood_cells", created=day, label_space=CLASSES, network=spec, head=head, input=HERE,
        recall=dict.fromkeys(names, 0.9),
        knowledge_mask=KnowledgeMask(scores=dict.fromkeys(names, 0.8), threshold=0.5),
        training=TrainingSummary(images=dict.fromkeys(names, 400), epochs=12),
        gained=["c"], made_of=[TakenIn(site=OTHER, exact=True)],
        privacy=PrivacyStatement(
            training=DifferentialPrivacy(
                epsilon=4.0, delta=1e-5, unit="patient", noise_multiplier=1.1, max_grad_norm=1.0
            ),
            audit=PrivacyAudit(shadow_models=8, figures=[figures]),
        ),
    )  # fmt: skip


@dataclass
class Package:
    """A package that is being changed, and what a change may need.

    Attributes:
        base: its name in the world.
        payload: an expression that would create the canary.
    """

    folder: Path
    base: str
    world: World
    rng: random.Random

    @property
    def tensors(self) -> Path:
        return next(p for p in self.folder.iterdir() if p.suffix == ".safetensors")

    @property
    def payload(self) -> str:
        return f"$__import__('pathlib').Path({str(self.world.canary)!r}).touch()"

    def card(self) -> dict[str, Any]:
        return json.loads((self.folder / CARD).read_text(encoding="utf-8"))

    def write_card(self, value: Any, replace: tuple[str, str] = ("", "")) -> None:
        """Write a card; ``replace`` puts text into it that ``json`` would not write."""
        text = json.dumps(value, indent=self.rng.choice([None, 2])).replace(*replace)
        (self.folder / CARD).write_text(text, encoding="utf-8")

    def any_file(self) -> Path:
        return self.rng.choice(sorted(self.folder.iterdir()))

    def state(self) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in load_file(self.tensors).items()}

    def table(self) -> tuple[dict[str, Any], bytes]:
        """The tensors' table of names, and the numbers."""
        raw = self.tensors.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        return json.loads(raw[8 : 8 + length]), raw[8 + length :]

    def write_table(self, text: str | bytes, numbers: bytes, length: int | None = None) -> None:
        """Write the tensors' file; ``length`` is what it says of its table."""
        raw = text.encode() if isinstance(text, str) else text
        said = (len(raw) if length is None else length).to_bytes(8, "little")
        self.tensors.write_bytes(said + raw + numbers)

    def reseal(self) -> None:
        """Digests and signature that fit, by a sender who is trusted."""
        tensors, card = self.tensors, self.folder / CARD
        before = sha256(self.world.valid[self.base] / tensors.name)
        if (self.folder / CARD).is_file():
            card.write_bytes(card.read_bytes().replace(before.encode(), sha256(tensors).encode()))
        (self.folder / SUMS).write_text(f"{sha256(card)}  {CARD}\n{sha256(tensors)}  {tensors.name}\n")
        sign(self.folder, self.world.keys[SITE])


@dataclass(frozen=True)
class Kind:
    """A way to change a package.

    Attributes:
        change: makes it.
        bases: the packages that it fits.
        sealed, changed: whether it is made with digests and signature that fit, and without.
    """

    change: Callable[[Package], None]
    bases: tuple[str, ...]
    sealed: bool
    changed: bool


KINDS: dict[str, Kind] = {}


def kind(
    *, sealed: bool = False, changed: bool = True, bases: list[str] | None = None
) -> Callable[[Callable[[Package], None]], Callable[[Package], None]]:
    """Add a way to change a package to the list."""

    def add(change: Callable[[Package], None]) -> Callable[[Package], None]:
        KINDS[change.__name__] = Kind(change, tuple(bases or BASES), sealed, changed)
        return change

    return add


@dataclass(frozen=True)
class Case:
    """One hostile package."""

    kind: str
    number: int
    base: str
    sealed: bool
    folder: Path

    def __str__(self) -> str:
        way = "resealed by a trusted sender" if self.sealed else "after signing"
        return f"case {self.number}: {self.kind}, a {self.base}, {way}, in {self.folder}"


def make(number: int, among: World, out: Path) -> Case:
    """The package of a number: always the same one, but for keys and signatures."""
    name = sorted(KINDS)[number % len(KINDS)]
    which, rng = KINDS[name], random.Random(number)
    base = which.bases[(number // len(KINDS)) % len(which.bases)]
    sealed = which.sealed and (not which.changed or rng.random() < 0.7)
    folder = out / f"{name}_{number}"
    shutil.copytree(among.valid[base], folder)
    package = Package(folder, base, among, rng)
    which.change(package)
    if sealed:
        package.reseal()
    return Case(name, number, base, sealed, folder)


# Bits and bytes


@kind()
def bit_of_the_weights(p: Package) -> None:
    raw = bytearray(p.tensors.read_bytes())
    _flip(raw, p.rng, 8 + int.from_bytes(raw[:8], "little"))
    p.tensors.write_bytes(raw)


@kind()
def bit_of_the_table_of_names(p: Package) -> None:
    raw = bytearray(p.tensors.read_bytes())
    _flip(raw, p.rng, 0, 8 + int.from_bytes(raw[:8], "little"))
    p.tensors.write_bytes(raw)


@kind()
def bit_of_the_card(p: Package) -> None:
    _flip_file(p, CARD)


@kind()
def bit_of_the_digests(p: Package) -> None:
    _flip_file(p, SUMS)


@kind()
def bit_of_the_signature(p: Package) -> None:
    _flip_file(p, SIGNATURE)


@kind()
def cut_short(p: Package) -> None:
    path = p.any_file()
    size = path.stat().st_size
    os.truncate(path, p.rng.choice([0, 1, 7, 8, 9, size - 1, p.rng.randrange(size)]))


@kind()
def bytes_at_the_end(p: Package) -> None:
    with p.any_file().open("ab") as f:
        f.write(p.rng.choice([b" ", b"\n", b"\0", b"\0" * 4096, b"PK\x05\x06" + bytes(18)]))


@kind(sealed=True)
def bytes_after_the_tensors(p: Package) -> None:
    with p.tensors.open("ab") as f:
        f.write(p.rng.randbytes(p.rng.choice([1, 4, 4096])))


@kind(sealed=True, changed=False)
def no_numbers_at_all(p: Package) -> None:
    p.tensors.write_bytes(
        p.rng.choice([b"", b"\0", bytes(8), bytes(16), b"{}", struct.pack("<Q", 2) + b"{}"])
    )


# The signature


@kind()
def parts_of_the_signature(p: Package) -> None:
    """What no key covers: spaces, padding bits, the hint, the unsigned fields, the order."""
    path = p.folder / SIGNATURE
    bundle = json.loads(path.read_bytes())
    envelope, made = bundle["dsseEnvelope"], bundle["dsseEnvelope"]["signatures"][0]
    material = bundle["verificationMaterial"]
    before = path.read_bytes()
    choice = p.rng.randrange(18)
    if choice == 0:
        made["sig"] = _other_padding(made["sig"])
    elif choice == 1:
        envelope["payload"] = _other_padding(envelope["payload"])
    elif choice == 2:
        material["publicKey"]["hint"] = p.rng.choice(["", material["publicKey"]["hint"].upper(), "0" * 64])
    elif choice == 3:
        made["keyid"] = "me"
    elif choice == 4:
        material["tlogEntries"] = [{"logIndex": "1"}]
    elif choice == 5:
        bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    elif choice == 6:
        envelope["payloadType"] = "application/json"
    elif choice == 7:
        bundle["note"] = "patient 123"
    elif choice == 8:
        envelope["signatures"].append(dict(made))
    elif choice == 9:
        envelope["signatures"].insert(0, {"sig": "", "keyid": ""})
    elif choice == 10:
        made["sig"] = b64encode(b64decode(made["sig"]) + b"\0").decode()
    elif choice == 11:
        envelope["payload"] = b64encode(b64decode(envelope["payload"]) + b" ").decode()
    elif choice == 12:
        material["timestampVerificationData"] = {}
    elif choice == 13:
        del material["publicKey"]["hint"]
    elif choice == 14:
        made["sig"] = made["sig"][:20] + "\n" + made["sig"][20:]
    elif choice == 15:
        bundle = dict(reversed(bundle.items()))
    elif choice == 16:
        bundle = [bundle]
    raw = json.dumps(bundle, separators=(",", ":")).encode()
    if choice == 17:
        raw = p.rng.choice(
            [before + b"\n", b" " + before, before.replace(b":", b": ", 1), b"\xef\xbb\xbf" + before]
        )
    assert raw != before
    path.write_bytes(raw)


@kind()
def garbage_as_the_signature(p: Package) -> None:
    garbage = [
        b"",
        b"{}",
        b"null",
        b"[" * 15_000,
        b"\xff\xfe",
        b'{"a":' * 3_000,
        b"1" * 15_000,
        p.rng.randbytes(500),
    ]
    (p.folder / SIGNATURE).write_bytes(p.rng.choice(garbage))


@kind()
def signature_of_another_package(p: Package) -> None:
    others = [f for name, f in p.world.valid.items() if name != p.base] + [p.world.older[p.base]]
    shutil.copy(p.rng.choice(others) / SIGNATURE, p.folder)


@kind()
def signed_by_a_stranger(p: Package) -> None:
    sign(p.folder, p.world.keys["stranger"])


@kind()
def signed_by_another_trusted_site(p: Package) -> None:
    sign(p.folder, p.world.keys[OTHER])


@kind()
def not_signed(p: Package) -> None:
    (p.folder / SIGNATURE).unlink()


@kind(sealed=True, changed=False)
def in_the_name_of_another_site(p: Package) -> None:
    """A trusted sender writes another's name: a trusted one's, an unknown one's, one that looks alike."""
    names = [OTHER, "hospital_c", "Hospital_a", "hospital_a ", "hospit\u0430l_a", "hospital_\u0430",
             "ｈospital_a", "hospital\u200b_a", "hospital_a\u0301", "../hospital_a", "",
             "hospital_a\n"]  # fmt: skip
    p.write_card({**p.card(), "site": p.rng.choice(names)})


# Files of different packages


@kind()
def files_of_an_older_edition(p: Package) -> None:
    """Some of a package's files replaced by those of one that the same sender signed earlier."""
    files = sorted(f.name for f in p.folder.iterdir())
    for name in p.rng.sample(files, p.rng.randint(1, len(files) - 1)):
        shutil.copy(p.world.older[p.base] / name, p.folder)


@kind(sealed=True, bases=[*MODELS, "committee", "gaussian"])
def tensors_of_another_network(p: Package) -> None:
    others = [n for n in (*MODELS, "committee", "gaussian") if n != p.base]
    shutil.copy(p.world.valid[p.rng.choice(others)] / p.tensors.name, p.folder)


@kind(sealed=True, changed=False)
def card_of_another_kind(p: Package) -> None:
    """A query's card on a model's tensors, and the like."""
    kinds = {"query": "query", "answer": "answer"}
    others = [n for n in BASES if kinds.get(n, "model") != kinds.get(p.base, "model")]
    card = json.loads((p.world.valid[p.rng.choice(others)] / CARD).read_text())
    p.write_card({**card, "weights_sha256": sha256(p.tensors)})


# Files that should not be there, or are no files


@kind()
def a_file_is_missing(p: Package) -> None:
    p.rng.choice([p.folder / CARD, p.tensors, p.folder / SUMS]).unlink()


@kind(sealed=True)
def a_file_too_much(p: Package) -> None:
    names = ["notes.txt", ".hidden", ".gitattributes", ".gitignore", "card.json ", "CARD.JSON", "card~",
             "model.pt", "__init__.py", "setup.py", "ｃard.json", "a\nb", "\x1b[2J", "..card", "%2e%2e",
             "x" * 255, "..\\..\\card.json", "model.safetensors.index.json"]  # fmt: skip
    (p.folder / p.rng.choice(names)).write_text(f"open({str(p.world.canary)!r}, 'w')")


@kind()
def a_name_that_is_no_text(p: Package) -> None:
    with open(os.fsencode(p.folder) + b"/" + p.rng.choice([b"\xff\xfe", b"a\x80", b"\xed\xa0\x80"]), "wb"):  # noqa: PTH123
        pass


@kind()
def a_folder_too_much(p: Package) -> None:
    inner = p.folder / p.rng.choice([".git", "sub", "__pycache__", "..."])
    inner.mkdir()
    (inner / "card.json").write_text("{}")


@kind()
def thousands_of_files(p: Package) -> None:
    for i in range(2000):
        (p.folder / f"f{i}").touch()


@kind()
def a_link(p: Package) -> None:
    """A file of the package, or one too much, that points elsewhere."""
    path = p.rng.choice([*sorted(p.folder.iterdir()), p.folder / "more"])
    same = p.world.valid[p.base] / path.name
    targets = [same, Path("../../../../../../etc/passwd"), Path("/dev/zero"), Path("/dev/random"),
               Path("/proc/kmsg"),
               Path(path.name), Path("/nowhere"), p.folder, Path("/")]  # fmt: skip
    path.unlink(missing_ok=True)
    path.symlink_to(p.rng.choice(targets))


@kind()
def a_pipe(p: Package) -> None:
    path = p.rng.choice([*sorted(p.folder.iterdir()), p.folder / "more"])
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@kind()
def a_folder_in_place_of_a_file(p: Package) -> None:
    path = p.any_file()
    path.unlink()
    path.mkdir()
    (path / "inner").write_text("{}")


@kind()
def an_endless_file(p: Package) -> None:
    """Sparse: it takes no room on the disk."""
    path = p.rng.choice([*sorted(p.folder.iterdir()), p.folder / "more"])
    path.touch()
    os.truncate(path, p.rng.choice([4_000_000_001, 2**40]))


@kind()
def a_large_file_with_a_table_that_fits_it(p: Package) -> None:
    """Within the limit of size, and whole; only no network needs it."""
    numbers = p.rng.choice([3_900_000_000, 900_000_000]) // 4
    entry = {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}
    table = json.dumps({p.rng.choice(["fc.weight", "more"]): entry})
    p.write_table(table, b"")
    os.truncate(p.tensors, 8 + len(table) + 4 * numbers)


@kind()
def an_archive(p: Package) -> None:
    """The package as a zip or tar file, with names that would leave the folder."""
    kept = {f.name: f.read_bytes() for f in p.folder.iterdir()}
    shutil.rmtree(p.folder)
    prefix = p.rng.choice(["", "../", "/tmp/", "p/"])
    if p.rng.random() < 0.7:
        with zipfile.ZipFile(p.folder, "w") as z:
            for name, raw in kept.items():
                z.writestr(prefix + name, raw)
        return
    with tarfile.open(p.folder, "w:gz") as t:
        for name, raw in kept.items():
            about = tarfile.TarInfo(prefix + name)
            about.size = len(raw)
            t.addfile(about, io.BytesIO(raw))


@kind(sealed=True)
def an_archive_named_safetensors(p: Package) -> None:
    with zipfile.ZipFile(p.tensors, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("../../canary", b"x")
        z.writestr("data.pkl", bytes(p.rng.choice([10, 5_000_000])))


class _Harm:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return open, (str(self.canary), "w")


@kind(sealed=True)
def a_pickle_named_safetensors(p: Package) -> None:
    harm = {"fc.weight": torch.zeros(2), "harm": _Harm(p.world.canary)}
    way = p.rng.randrange(4)
    if way == 0:
        p.tensors.write_bytes(pickle.dumps(harm, protocol=p.rng.randint(0, 5)))
    elif way == 1:
        torch.save(harm, p.tensors, _use_new_zipfile_serialization=p.rng.random() < 0.5)
    elif way == 2:
        p.write_table(pickle.dumps(harm), b"")
    else:
        p.write_table(b"{}", pickle.dumps(harm))


@kind(sealed=True, changed=False)
def a_pickle_named_card(p: Package) -> None:
    raw = pickle.dumps(_Harm(p.world.canary), protocol=p.rng.randint(0, 5))
    (p.folder / CARD).write_bytes(raw)


# Tensors


@kind(sealed=True)
def tensor_renamed(p: Package) -> None:
    state = p.state()
    name = p.rng.choice(sorted(state))
    new = [
        name + ".x",
        name.upper() + "_",
        "",
        "../" + name,
        "$" + name,
        "__class__",
        name + "\x1b[2J",
        "é" * 50_000,
    ]
    state[p.rng.choice(new)] = state.pop(name)
    save_file(state, p.tensors)


@kind(sealed=True)
def tensor_missing(p: Package) -> None:
    state = p.state()
    del state[p.rng.choice(sorted(state))]
    save_file(state, p.tensors)


@kind(sealed=True)
def tensor_too_much(p: Package) -> None:
    state = p.state()
    more = p.rng.choice([torch.zeros(()), torch.zeros(0), torch.zeros(3, 4), torch.zeros(1000, 1000)])
    state[p.rng.choice(["door", "extra.weight", "_target_", "0", " "])] = more
    save_file(state, p.tensors)


@kind(sealed=True)
def tensor_of_another_type(p: Package) -> None:
    state = p.state()
    name = p.rng.choice(sorted(state))
    other = [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int32, torch.bool]
    state[name] = state[name].to(p.rng.choice(other))
    save_file(state, p.tensors)


@kind(sealed=True)
def tensor_of_another_shape(p: Package) -> None:
    state = p.state()
    name = p.rng.choice(sorted(state))
    t = state[name]
    shapes = [
        t[None],
        torch.cat([t.flatten(), t.flatten()]),
        t.flatten()[:-1],
        t.flatten()[:0],
        t[None, None, None],
    ]
    state[name] = p.rng.choice([s for s in shapes if s.shape != t.shape]).clone()
    save_file(state, p.tensors)


@kind(sealed=True)
def not_a_number(p: Package) -> None:
    """One NaN or infinity anywhere."""
    state = p.state()
    name = p.rng.choice(sorted(k for k, v in state.items() if v.is_floating_point()))
    flat = state[name].view(-1)
    flat[p.rng.randrange(len(flat))] = p.rng.choice([float("nan"), float("inf"), -float("inf")])
    save_file(state, p.tensors)


@kind(sealed=True, bases=["resnet", "densenet", "efficientnet", "committee", "gaussian", "query"])
def negative_variance(p: Package) -> None:
    state = p.state()
    state[p.rng.choice(sorted(k for k in state if k.endswith("running_var")))][0] = -1.0
    save_file(state, p.tensors)


@kind(sealed=True, bases=["answer"])
def no_covariance(p: Package) -> None:
    state = p.state()
    t = state["0.covariance"]
    state["0.covariance"] = p.rng.choice([-t, t * 0, t + torch.arange(len(t)), t - 10 * torch.eye(len(t))])
    save_file(state, p.tensors)


@kind(sealed=True)
def a_table_that_lies_about_its_length(p: Package) -> None:
    table, numbers = p.table()
    text = json.dumps(table)
    lies = [
        0,
        1,
        len(text) - 1,
        len(text) + 1,
        len(text) + len(numbers),
        2**31,
        2**32,
        2**63 - 1,
        2**63,
        2**64 - 1,
    ]
    p.write_table(text, numbers, p.rng.choice(lies))


@kind(sealed=True)
def a_table_that_lies_about_places(p: Package) -> None:
    table, numbers = p.table()
    entry = table[p.rng.choice(sorted(k for k in table if k != "__metadata__"))]
    begin, end = entry["data_offsets"]
    lies = [[begin, end + 4], [begin + 4, end], [end, begin], [-4, end], [0, 2**63], [2**63, 2**64], [0], [],
            [begin, end, end], [0.5, 1.5], ["0", "4"], None, {}, [True, end], [begin, 10**30], [end,
            end]]  # fmt: skip
    entry["data_offsets"] = p.rng.choice([lie for lie in lies if lie != [begin, end]])
    p.write_table(json.dumps(table), numbers)


@kind(sealed=True)
def a_table_that_lies_about_shapes(p: Package) -> None:
    table, numbers = p.table()
    entry = table[p.rng.choice(sorted(k for k in table if k != "__metadata__"))]
    lies = [[2**60], [2**32, 2**32], [2**63, 2], [0, 2**60], [-1], [1] * 100, [1] * 1000, [0.5], ["1"],
            [[1]], None,
            {}, "4", [10**30], [True], [2**60, 0]]  # fmt: skip
    entry["shape"] = p.rng.choice(lies)
    p.write_table(json.dumps(table), numbers)


@kind(sealed=True)
def a_table_with_strange_types(p: Package) -> None:
    table, numbers = p.table()
    entry = table[p.rng.choice(sorted(k for k in table if k != "__metadata__"))]
    entry["dtype"] = p.rng.choice(
        ["F8_E4M3", "U64", "C64", "f32", "O", "object", "", None, 4, ["F32"], p.payload]
    )
    p.write_table(json.dumps(table), numbers)


@kind(sealed=True)
def a_table_with_a_name_twice(p: Package) -> None:
    table, numbers = p.table()
    name = p.rng.choice(sorted(k for k in table if k != "__metadata__"))
    entry = p.rng.choice([table[name], {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}])
    text = json.dumps({name + "\x01": entry, **table}).replace("\\u0001", "")
    p.write_table(text, numbers)


@kind(sealed=True)
def a_table_with_more_in_it(p: Package) -> None:
    """Notes beside the tensors, fields of an entry, whatever is no entry."""
    table, numbers = p.table()
    name = p.rng.choice(sorted(k for k in table if k != "__metadata__"))
    way = p.rng.randrange(5)
    if way == 0:
        table["__metadata__"] = {"format": "pt", "patient": "Doe^Jane"}
    elif way == 1:
        table["__metadata__"] = p.payload
    elif way == 2:
        table[name]["_target_"] = "os.system"
    elif way == 3:
        table[name] = p.rng.choice([None, [], 4, "x", {}])
    else:
        del table[name][p.rng.choice(["dtype", "shape", "data_offsets"])]
    p.write_table(json.dumps(table), numbers)


@kind(sealed=True)
def a_table_that_is_no_table(p: Package) -> None:
    _, numbers = p.table()
    deep = "[" * 100_000
    texts = ["[]", "null", "4", '""', deep, '{"a":' * 50_000, "{}", "{" + '"a":0,' * 10 + '"a":0}',
             "\ud800", "{'a': 1}",
             "{" + ",".join(f'"{i}":0' for i in range(50_000)) + "}",
             "[" + "[]," * 1_000_000 + "[]]"]  # fmt: skip
    p.write_table(p.rng.choice(texts).encode("utf-8", "surrogatepass"), numbers)


@kind(sealed=True)
def holes_between_tensors(p: Package) -> None:
    """Bytes that no tensor owns, or that two do."""
    table, numbers = p.table()
    entries = sorted((e for k, e in table.items() if k != "__metadata__"), key=lambda e: e["data_offsets"])
    shift = p.rng.choice([4, 8, -4])
    for entry in entries[p.rng.randrange(1, len(entries)) :]:
        entry["data_offsets"] = [o + shift for o in entry["data_offsets"]]
    p.write_table(json.dumps(table), numbers + bytes(max(0, shift)))


# The card


@kind(sealed=True)
def expression_in_a_field(p: Package) -> None:
    card = p.card()
    at, key = p.rng.choice(list(_leaves(card)))
    texts = [
        p.payload,
        " " + p.payload,
        "@network",
        "%card.json",
        f"$open({str(p.world.canary)!r}, 'w')",
        "$",
        "\u00a0$x",
    ]
    at[key] = p.rng.choice(texts)
    p.write_card(card)


@kind(sealed=True)
def target_in_a_field(p: Package) -> None:
    card = p.card()
    run = {"_target_": "os.system", "command": f"touch {p.world.canary}"}
    opened = {"_target_": "builtins.open", "file": str(p.world.canary), "mode": "w"}
    entry = p.rng.choice(
        [run, opened, {"_requires_": p.payload}, {"_disabled_": False}, {"_mode_": "callable"}]
    )
    if p.rng.random() < 0.5:
        p.rng.choice(list(_mappings(card))).update(entry)
    else:
        at, key = p.rng.choice(list(_leaves(card)))
        at[key] = entry
    p.write_card(card)


@kind(sealed=True, bases=["resnet", "densenet", "vit", "committee", "gaussian", "query"])
def a_network_that_is_not_on_the_list(p: Package) -> None:
    card = p.card()
    names = ["os.system", "builtins.open", "torch.load", "torch.hub.load", "monai.bundle.run", "resnet",
             "Resnet", "",
             "nets.ResNet", "ResNet.__init__", "__import__", "ResNet ", "ＲesNet", "Linear", "x" * 300_000,
             4, None, ["ResNet"],
             p.payload, "../ResNet"]  # fmt: skip
    p.rng.choice([m for m in _mappings(card) if "spatial_dims" in m])["name"] = p.rng.choice(names)
    p.write_card(card)


@kind(sealed=True, bases=["resnet", "densenet", "efficientnet", "vit", "committee", "gaussian", "query"])
def strange_arguments_of_a_network(p: Package) -> None:
    card = p.card()
    args = p.rng.choice([m for m in _mappings(card) if "spatial_dims" in m])["args"]
    more = [("pretrained", True), ("progress", True), ("weights", str(p.world.canary)), ("act", "relu"),
            ("__class__", 1),
            ("act", {"_target_": "os.system"}), ("norm", ["$open('x')"]), ("layers", [4096] * 4),
            ("num_layers", 4096),
            ("block_config", [4096] * 4), ("block_inplanes", [-1] * 4),
            ("blocks_args_str", ["r9_k9_s99_e99_i1_o1"]),
            ("img_size", [2**60, 2**60]), ("block", "os.system"), ("norm", "no such norm"),
            ("mlp_dim", 10**9),
            ("k" * 100_000, list(range(2000))), ("layers", [[[1]]]), ("growth_rate", 1e9),
            ("self", 1)]  # fmt: skip
    key, value = p.rng.choice([m for m in more if m[0] not in args or m[1] != args[m[0]]])
    args[key] = value
    p.write_card(card)


@kind(sealed=True)
def deep_nesting(p: Package) -> None:
    card = p.card()
    at, key = p.rng.choice(list(_leaves(card)))
    at[key] = "@@"
    depth = p.rng.choice([17, 100, 1000, 50_000])
    open_, close = p.rng.choice([("[", "]"), ('{"a":', "}")])
    p.write_card(card, ('"@@"', open_ * depth + "1" + close * p.rng.choice([depth, 0])))


@kind(sealed=True)
def a_key_twice(p: Package) -> None:
    card = p.card()
    at = p.rng.choice([m for m in _mappings(card) if m])
    key = p.rng.choice(sorted(at))
    at[key + "@@"] = p.rng.choice([at[key], None, "other", p.payload])
    p.write_card(card, ("@@", ""))


@kind(sealed=True)
def a_number_that_is_none(p: Package) -> None:
    card = p.card()
    at, key = p.rng.choice(list(_leaves(card)))
    at[key] = "@@"
    tokens = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 19, "-" + "9" * 5000, "0x10", "01",
              "+1", "1.", ".5",
              "1_000", "true1", "undefined", "1" * 400_000, "1e" + "9" * 400_000]  # fmt: skip
    p.write_card(card, ('"@@"', p.rng.choice(tokens)))


@kind(sealed=True)
def characters_that_steer(p: Package) -> None:
    """Control characters, marks that turn the writing direction, half characters; in values and in keys."""
    card = p.card()
    c = chr(p.rng.choice([0, 7, 8, 13, 0x1B, 0x7F, 0x85, 0x9B, 0xAD, 0x61C, 0x200B, 0x200E, 0x202E, 0x2066,
    0x2028, 0x2029,
                          0xFEFF, 0xE0001, 0xFFF9, 0xD800, 0xDFFF]))  # fmt: skip
    if p.rng.random() < 0.75:
        at, key = p.rng.choice([(a, k) for a, k in _leaves(card) if isinstance(a[k], str)])
        text = at[key]
        where = p.rng.randrange(len(text) + 1)
        at[key] = text[:where] + c + text[where:]
    else:
        at = p.rng.choice(list(_mappings(card)))
        at[p.rng.choice(["", "a", *sorted(at)]) + c] = 1
    p.write_card(card)


@kind(sealed=True)
def a_value_of_another_type(p: Package) -> None:
    card = p.card()
    at, key = p.rng.choice([*_leaves(card), *_containers(card)])
    choices = [{"a": {"b": 1}}, [[[1]]]] if not isinstance(at[key], dict | list) else [5, "x", True, 0.5]
    at[key] = p.rng.choice(choices)
    p.write_card(card)


@kind(sealed=True, changed=False)
def a_field_is_missing(p: Package) -> None:
    card = p.card()
    model = ["site", "task", "label_space", "network", "head", "input", "weights_sha256", "format"]
    asked = [
        "site",
        "task",
        "extractor",
        "input",
        "query",
        "welcome",
        "radius",
        "model_sha256",
        "weights_sha256",
        "format",
    ]
    told = ["site", "task", "query_sha256", "answers", "weights_sha256", "format"]
    del card[p.rng.choice({"query": asked, "answer": told}.get(p.base, model))]
    p.write_card(card)


@kind(sealed=True)
def a_field_too_much(p: Package) -> None:
    card = p.card()
    at = p.rng.choice(list(_mappings(card)))
    at[p.rng.choice(["note", "patient", "path", "__class__", "model_config", "TENSORS", "x" * 500])] = (
        "Doe^Jane"
    )
    p.write_card(card)


@kind(sealed=True)
def a_card_of_another_format(p: Package) -> None:
    card = p.card()
    names = ["model/1", "query/1", "answer/1", "model/2", "model/3", "Model/1", "model/1 ", "../model/1", ""]
    formats = [f"clinical-qkt/{n}" for n in names] + [None, 1, ["clinical-qkt/model/1"], p.payload]
    card["format"] = p.rng.choice([f for f in formats if f != card["format"]])
    p.write_card(card)


@kind(sealed=True)
def a_card_that_is_no_json(p: Package) -> None:
    path = p.folder / CARD
    text = path.read_text()
    ways = [
        text.encode("utf-16"), b"\xef\xbb\xbf" + text.encode(), text.encode() + b"\xff",
        text.encode() + b"\0",
        text.encode() * 2, ("// card\n" + text).encode(), text.replace('"', "'").encode(), b"", b"null",
        b"[]", b"5",
        b'""', gzip.compress(text.encode()), text.encode()[:-3], b"[" * 900_000,
        b"!!python/object/apply:os.system [x]",
        text.encode() + b" " * 1_000_000, b"[" + b"[]," * 300_000 + b"[]]", text.replace(",", ",\n,",
        1).encode(),
        text.encode().replace(b"e", b"\xc3\x28", 1), text.encode().replace(b"e", b"\xed\xa0\x80", 1),
    ]  # fmt: skip
    path.write_bytes(p.rng.choice(ways))


@kind(sealed=True)
def an_absurd_size_on_the_card(p: Package) -> None:
    card = p.card()
    many = [{"name": f"class {i}"} for i in range(20_000)]
    sizes = {
        "network": {
            "name": "Committee",
            "input": card.get("input"),
            "members": [{}] * 20_000,
            "width": 2**60,
        },
        "label_space": many,
        "input": {
            "channels": 3,
            "spatial_size": p.rng.choice([[2**60, 28], [10**9] * 2, [1024] * 3, [28] * 50_000]),
        },
        "head": "fc" * 200_000,
        "intended_use": "for " * 200_000,
        "licence": "mine " * 150_000,
        "recall": {f"class {i}": 0.5 for i in range(30_000)},
        "extractor": {"network": {}, "depths": ["bn1"] * 50_000, "pooled": 2**60, "features": 2**60},
        "query": many,
        "welcome": ["mean"] * 60_000,
        "radius": 1e300,
        "answers": [{"label": "c", "kind": "mean", "count": 2**62}] * 15_000,
        "site": "a" * 900_000,
        "created": "2" * 900_000,
        "task": "t" * 2_000_000,
    }
    key = p.rng.choice([k for k in sizes if k in card])
    p.write_card({**card, key: sizes[key]})


@kind(sealed=True)
def a_long_key_over_a_long_list(p: Package) -> None:
    """Small on the disk; but whoever writes down the place of each element needs gigabytes."""
    card = p.card()
    at = p.rng.choice([m for m in _mappings(card) if m])
    long = p.rng.choice([100, 200, 400_000])
    at["k" * long] = p.rng.choice([["$"], [{}], [1, "a"], ["\x1b"], [[]]]) * p.rng.choice([20_000, 100_000])
    p.write_card(card)


WRONG: dict[str, list[tuple[str, Any]]] = {
    "model": [
        ("head", "fc9"), ("head", "conv1"), ("head", ""), ("head", "__class__"), ("label_space", ["a", "b"]),
        ("label_space", ["a", "A", "b"]), ("label_space", []), ("recall", {"c": 1.5}), ("recall", {"c": -1}),
        ("input.channels", 1), ("input.spatial_size", [7, 7]), ("input.spatial_size", [28, 28, 28]),
        ("input.value_range", [1, 1]), ("input.intensity_range", [5, 1]), ("input.std", [0.0]),
        ("input.mean", [1.0]),
        ("input.spacing", [1.0]), ("network", {}), ("created", "2026-13-45"), ("created", "٢٠٢٦-٠١-٠١"),
        ("created", "today"),
        ("knowledge_mask.threshold", 2), ("training.epochs", -1), ("training.images", {"c": -5}),
        ("licence", 5), ("licence", []), ("licence", ["a", "a"]), ("licence", ["a", 5]), ("licence", "a"),
        ("licence", [f"{i}{'x' * 19_000}" for i in range(6)]), ("licence", ["a\x1b[2J"]), ("licence", ["$a"]),
        ("privacy.training.epsilon", 0), ("privacy.training.delta", 1), ("privacy.audit.figures", []),
        ("task", "a/b"),
        ("generated_data", "perhaps"), ("weights_sha256", "0" * 64), ("weights_sha256", "none"),
    ],
    "query": [
        ("extractor.features", 10_000), ("extractor.pooled", 33), ("extractor.depths", ["no such"]),
        ("extractor.depths", [""]), ("extractor.depths", ["fc"]), ("extractor.depths", ["bn1", "bn1"]),
        ("extractor.depths", ["layer1", "layer2"]), ("extractor.depths", ["__class__"]), ("query", []),
        ("query", ["p", "P"]), ("query", [{"name": "p", "system": "s"}]), ("welcome", []),
        ("welcome", ["images"]),
        ("radius", 0), ("radius", -1), ("radius", 1e-320), ("private_axes", 0),
        ("private_axes", 9999), ("model_sha256", "x"), ("input.channels", 1),
        ("input.spatial_size", [7, 7]),
        ("looks.version", "look/2"), ("looks.scale", "calibrated"), ("looks.classes", []),
        ("looks.classes.0.numbers", [0.1] * 8), ("looks.classes.0.numbers", [101.0] * 15),
        ("looks.classes.0.label", "Known too"), ("looks.classes.0.label", "c"), ("looks.classes.0.count", 7),
        ("looks.spread", [0.0] * 15), ("looks.spread", [-1.0] * 15), ("looks", None),
    ],
    "answer": [
        ("query_sha256", "1" * 64), ("query_sha256", ""), ("answers", []), ("answers.0.count", 0),
        ("answers.0.count", -5),
        ("answers.0.kind", "mean"), ("answers.0.kind", "private_mean"), ("answers.0.kind", None),
        ("answers.0.noise", -1), ("answers.1.noised_count", 0.5),
        ("answers.1.epsilon", 0), ("answers.1.epsilon", None), ("answers.1.delta", 2),
        ("answers.1.unit", "house"),
        ("answers.2.declined", None), ("answers.2.kind", "mean"), ("answers.0.label", "other"),
        ("answers.0.noised_count", 3), ("answers.1.noised_count", 10**13),
        ("answers.2.label", {"name": "c", "system": "s", "code": "1"}), ("answers.1.count", 40),
        ("answers.1.noised_count", None),
        ("answers.0.look.shared", []), ("answers.0.look.shared", ["c"]), ("answers.0.look.mapped", False),
        ("answers.0.look.seen", None), ("answers.0.look.seen", [101.0] * 15),
        ("answers.0.look.distance", 9.0), ("answers.0.look.counts", [7]), ("answers.1.look", None),
        ("answers.1.look.shares", None), ("answers.1.look.shares.mean", 0.9),
        ("answers.1.look.noised_counts.fine", 0.5), ("answers.1.look.mapped", False),
        ("answers.1.look.through", 0), ("answers.1.look.through", -1), ("answers.0.look.through", 0),
        ("answers.0.look.unclipped", -1), ("answers.1.look.unclipped", 3.0),
        ("answers.2.look", {"shared": []}),
    ],
    "committee": [
        ("network.members.0.columns", [0, 99]), ("network.members.0.columns", [-1, 0]),
        ("network.members", []),
        ("network.members.0.columns", [0, 1, 2]), ("network.width", 1), ("network.width", 0),
        ("network.input.channels", 1),
        ("network.members.1.network.name", "Committee"), ("network.members.0.input.spatial_size", [8, 8, 8]),
    ],
    "gaussian": [
        ("network.own", 9), ("network.own", 0), ("network.gaussians", 0), ("network.gaussians", 100_000),
        ("network.head", "x"),
        ("network.shared", True), ("network.extractor.depths", ["layer4"]), ("network.extractor.features", 2),
        ("network.extractor.network.in_channels", 1), ("network.head", "replay"),
    ],
}  # fmt: skip
"""Values that are of the right type and cannot be."""


@kind(sealed=True)
def a_value_that_cannot_be(p: Package) -> None:
    choices = WRONG.get(p.base, WRONG["model"])
    if p.base in ("committee", "gaussian") and p.rng.random() < 0.3:
        choices = WRONG["model"]
    place, value = p.rng.choice(choices)
    card = p.card()
    *path, last = place.split(".")
    at: Any = card
    for step in path:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[last] = value
    p.write_card(card)


# Helpers


def _flip(raw: bytearray, rng: random.Random, start: int = 0, stop: int | None = None) -> None:
    raw[rng.randrange(start, stop or len(raw))] ^= 1 << rng.randrange(8)


def _flip_file(p: Package, name: str) -> None:
    raw = bytearray((p.folder / name).read_bytes())
    _flip(raw, p.rng)
    (p.folder / name).write_bytes(raw)


def _other_padding(text: str) -> str:
    """The same bytes in base64 with other bits where none count; or with padding too much."""
    if not text.endswith("="):
        return text + "===="
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    other = body[:-1] + digits[digits.index(body[-1]) ^ 1] + text[len(body) :]
    assert b64decode(other) == b64decode(text)
    return other


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """``(container, key)`` of all that holds nothing else."""
    for key, part in _items(value):
        if isinstance(part, dict | list) and part:
            yield from _leaves(part)
        else:
            yield value, key


def _containers(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, part in _items(value):
        if isinstance(part, dict | list):
            yield value, key
            yield from _containers(part)


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for _, part in _items(value):
        if isinstance(part, dict | list):
            yield from _mappings(part)


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))
