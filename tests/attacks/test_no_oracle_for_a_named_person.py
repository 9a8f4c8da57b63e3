"""An asker wants to know whether somebody is a patient of a hospital, and looks at all but the numbers.

In the version before a query for the class 'subtype MRN-red-3' stopped if that was a patient's name, after
other answers were paid for, and was answered if it was not. And an answer stopped where an image of the
queried class could not be prepared, or where one of its images named no patient.
"""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from clinical_qkt import bundle
from clinical_qkt.bundle import packaging
from clinical_qkt.core.errors import QKTError
from clinical_qkt.data.datalist import load_datalist
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model
from clinical_qkt.query.response import Responding
from clinical_qkt.site.consent import Leaving
from clinical_qkt.site.ledger.ledger import Ledger
from tests.conftest import CONFIGS, square
from tests.query.test_response import CPU, PRIVATE, READ, SPEC, answer, given, query, site
from tests.query.test_response import pictures as pictures

NOT_MEANT = {"time", "query_sha256", "id", "release", "card_sha256", "tensors_sha256", "bytes", "signed_with"}
"""Columns of a ledger that differ from query to query, or hold noise."""


def outcome(asked, who, folder: Path, capfd, data=None) -> dict[str, object]:
    """All that an asker, or whoever an operator tells, can see of an answer, but its noise."""
    os.environ["CLINICAL_QKT_STATE"] = str(folder.parent / "state")  # each attempt is the first one
    capfd.readouterr()
    try:
        if data is None:
            answer(asked, who, folder)
        else:
            getattr(Ledger(who.ledger), "begin", lambda: None)()
            Responding(who, asked, data, given(who), READ, CPU, True).run(folder)
        ended = "answered"
    except QKTError as e:
        ended = f"exit code {e.exit_code}: {e}"
    card = json.loads((folder / "card.json").read_text()) if (folder / "card.json").exists() else {}
    ledger = Ledger(who.ledger)
    lines = [
        {k: v for k, v in line.items() if k not in NOT_MEANT}
        for line in (*ledger.lines(), *ledger.lines("departures"))
    ]
    files = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    said = "".join(capfd.readouterr()).replace(str(folder), "FOLDER")
    answers = [(a["kind"], a["declined"]) for a in card.get("answers", ())]
    return {"ended": ended, "files": files, "answers": answers, "ledger": lines, "said": said}


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a test sets is put back."""
    monkeypatch.setenv("CLINICAL_QKT_STATE", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("present", "absent"),
    [("MRN-red-3", "MRN-red-9"), ("red07", "red97")],
)
def test_a_name_in_a_query_makes_no_difference_whether_it_is_a_patient_s_or_nobody_s(
    pictures, tmp_path, capfd, present, absent
):
    found = []
    for name in (present, absent):
        (tmp_path / name).mkdir()
        asked = query(tmp_path / name / "q", classes=("red", f"subtype {name}"))
        seen = outcome(asked, site(pictures, tmp_path / name, **PRIVATE), tmp_path / name / "a", capfd)
        found.append(json.loads(json.dumps(seen, default=str).replace(name, "NAME")))
    assert found[0] == found[1]
    assert found[0]["ended"] == "answered"


def test_what_the_site_itself_writes_is_checked_before_anything_is_spent(pictures, tmp_path, capfd):
    who = site(pictures, tmp_path, **PRIVATE).model_copy(update={"licence": "ask for mrn-RED-3"})
    seen = outcome(query(tmp_path / "q"), who, tmp_path / "a", capfd)
    assert "card: licence: holds the name of a patient" in str(seen["ended"]) and seen["ledger"] == []


def patients_but(pictures: Path, tmp_path: Path, kind: str) -> Path:
    """The datalist without the patient of one image of a kind."""
    content = json.loads((pictures / "d.json").read_text())
    next(e for e in content["training"] if e["label"] == kind).pop("patient")
    content = json.loads(json.dumps(content).replace('"image": "', f'"image": "{pictures}/'))
    (tmp_path / "d.json").write_text(json.dumps(content))
    return tmp_path


def test_whether_it_is_the_queried_class_that_has_an_image_without_a_patient_is_not_told(
    pictures, tmp_path, capfd
):
    found = []
    for kind in ("red", "green"):
        (tmp_path / kind).mkdir()
        who = site(patients_but(pictures, tmp_path / kind, kind), tmp_path / kind)
        found.append(outcome(query(tmp_path / kind / "q"), who, tmp_path / kind / "a", capfd))
    assert found[0] == found[1]


def test_an_image_that_cannot_be_prepared_does_not_stop_an_answer(pictures, tmp_path, capfd):
    patients_but(pictures, tmp_path, "green")
    Image.fromarray(square("red", 99)).save(tmp_path / "bad.png")
    content = json.loads((tmp_path / "d.json").read_text())
    content["training"].append({"image": str(tmp_path / "bad.png"), "label": "red", "patient": "x"})
    (tmp_path / "d.json").write_text(json.dumps(content))
    who = site(tmp_path, tmp_path, **PRIVATE)
    data = load_datalist(who.data, who.labels, need=("training",))
    (tmp_path / "bad.png").write_bytes(b"no image under the asker's contract")
    seen = outcome(query(tmp_path / "q"), who, tmp_path / "a", capfd, data)
    assert seen["ended"] == "answered"
    assert "left out 1 images of the queried classes" in str(seen["said"])


def test_what_a_teacher_wrote_into_a_model_that_is_shared_makes_no_difference(pictures, tmp_path, capfd):
    """A student's new model keeps a teacher's texts; whether it is shared must tell the teacher nothing."""
    torch.manual_seed(0)
    who = site(pictures, tmp_path).model_copy(update={"package_dir": tmp_path / "p"})
    data = load_datalist(who.data, who.labels, need=("training",))
    network = SPEC.build(2).eval()
    contract = InputContract(channels=3, spatial_size=[28, 28])
    about = {"site": "site_b", "task": "t", "head": find_head(network), "network": SPEC, "input": contract}
    ended = []
    for name in ("MRN-red-3", "MRN-red-9"):
        card = Card(label_space=["red", "green"], intended_use=f"not for {name}", **about)
        model = Model(network, card, tmp_path, 0)
        given = {"data": data} if "data" in inspect.signature(packaging.share).parameters else {}
        given |= {
            "site": who,
            "model": model,
            "items": data.items["training"][:4],
            "read": READ,
            "device": CPU,
        }
        leaving = Leaving(tmp_path / "p", Ledger(tmp_path / "l.db"), yes=True)
        try:
            ended.append(packaging.share(**given, leaving=leaving).intended_use.replace(name, "NAME"))
        except QKTError as e:
            ended.append(str(e))
    assert ended[0] == ended[1]


@pytest.mark.slow
def test_the_only_patient_of_a_class_makes_no_difference_to_whether_there_is_an_answer(
    pictures, tmp_path, monkeypatch
):
    torch.manual_seed(0)
    content = json.loads((pictures / "d.json").read_text())
    reds = [e for e in content["training"] if e["label"] == "red"]
    content["training"] = [e for e in content["training"] if e["label"] != "red"]
    content["validation"] = [e for e in content["validation"] if e["label"] != "red"]
    query(tmp_path / "q")
    for there, name in ((reds[:1], "with"), ([], "without")):
        monkeypatch.setenv("CLINICAL_QKT_STATE", str(tmp_path / f"state_{name}"))
        listed = {**content, "training": content["training"] + there}
        (pictures / f"{name}.json").write_text(json.dumps(listed))
        values = {"site": f"site_{name}", "data": str(pictures / f"{name}.json"), "classes": ["red", "green"]}
        values |= {"ledger": str(tmp_path / f"{name}.db"), "output_dir": str(tmp_path / name)}
        values |= {"untrusted_packages": "accept", "yes": True, "request": str(tmp_path / "q")}
        values["response_dir"] = str(tmp_path / f"answer_{name}")
        if "new_ledger" in (CONFIGS / "answer.yaml").read_text():
            values["new_ledger"] = True
        bundle.run([CONFIGS / "train.yaml", CONFIGS / "answer.yaml"], **values)
    found = []
    for name in ("with", "without"):
        written = (tmp_path / f"answer_{name}").iterdir()
        found.append({p.name: p.stat().st_size for p in written if p.suffix == ".safetensors"})
    assert found[0] == found[1] and found[0]
