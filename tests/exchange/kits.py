"""A consortium of two, and startup kits as FLARE makes them, without FLARE."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from clinical_qkt.exchange.provision import provision, read_consortium

RELAY, SWEEPER = "relay.example.org", "sweeps@university.example.org"
CONSORTIUM = {
    "name": "blood_cells",
    "relay": {"host": RELAY, "organisation": "university"},
    "sweeper": {"name": SWEEPER, "organisation": "university"},
    "sites": {"hospital_a": {"organisation": "clinic_a"}, "hospital_b": {"organisation": "clinic_b"}},
}
NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
_STARTUP = {
    "client": {"client": {"fqsn": "hospital_a", "connection_security": "mtls"}},
    "server": {"servers": [{"connection_security": "mtls"}]},
    "admin": {"admin": {"connection_security": "mtls"}},
}


def written(folder: Path, **changed: object) -> Path:
    """What `exchange provision` writes of a consortium."""
    file = folder / "consortium.yaml"
    file.write_text(yaml.safe_dump(CONSORTIUM | changed))
    provision(read_consortium(file), folder / "flare")
    return folder / "flare"


def kit(folder: Path, kind: str = "client") -> Path:
    """A startup kit with our policies in it."""
    name = {"client": "hospital_a", "server": RELAY, "admin": SWEEPER}[kind]
    made = folder / "kit"
    (made / "startup").mkdir(parents=True)
    (made / "startup" / f"fed_{kind}.json").write_text(json.dumps(_STARTUP[kind]))
    pair(made / "startup", kind if kind == "server" else "client", days=360)
    shutil.copyfile(
        made / "startup" / f"{'server' if kind == 'server' else 'client'}.crt",
        made / "startup" / "rootCA.pem",
    )
    if kind != "admin":
        shutil.copytree(written(folder) / "policies" / name / "local", made / "local")
    return made


def pair(startup: Path, name: str, days: int) -> None:
    """A key, and a certificate that ends so many days after ``NOW``."""
    key, subject = Ed25519PrivateKey.generate(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(NOW - datetime.timedelta(days=400)).not_valid_after(
        NOW + datetime.timedelta(days)
    )
    (startup / f"{name}.crt").write_bytes(dated.sign(key, None).public_bytes(serialization.Encoding.PEM))
    (startup / f"{name}.key").touch(0o600)
