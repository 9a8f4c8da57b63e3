import pytest
from monai.bundle import ConfigParser

from clinical_qkt.core.errors import InputError
from clinical_qkt.site.config import check_site, write_site

GOOD = {
    "site": "hospital_a", "data": "d.json", "classes": ["a", "b"],
    "output_dir": "o", "package_dir": "p", "query_dir": "q", "transfer_dir": "t", "ledger": "l.db",
}  # fmt: skip


def test_a_good_site_is_read():
    site = check_site({**GOOD, "query": ["c"], "teachers": ["p/x"]}, "x.yaml")
    assert site.labels.names == ["a", "b"] and site.queried.names == ["c"]
    assert site.tracking_uri.startswith("sqlite:///") and site.tracking_uri.endswith("t/mlflow.db")


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("", None),
        ("sqlite:////a/m.db", None),
        ("http://m:5000", "http://m:5000"),
        ("databricks", "databricks"),
    ],
)
def test_a_server_is_told_from_a_database(address, server):
    site = check_site({**GOOD, "mlflow": address}, "x.yaml")
    assert site.tracking_server == server
    assert site.tracking_uri == (
        address if address.startswith("sqlite") else check_site(GOOD, "").tracking_uri
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clases": ["a"]}, "unknown key 'clases'"),
        ({"site": None}, "site: is missing"),
        ({"site": "ward 3/x"}, "site: takes 1 to 64 letters, digits"),
        ({"classes": ["a", "A"]}, "'a' and 'A' are the same class"),
        ({"query": ["B"]}, "the site knows 'B' already"),
        ({"query": ["c", "C"]}, "same class"),
        ({"forgetting_budget": -1}, "forgetting_budget: must be at least 0 (given: -1)"),
        ({"forgetting_budget": "two"}, "forgetting_budget: is no number (given: 'two')"),
        ({"architecture": "resnet_smal"}, "did you mean 'resnet_small'"),
        ({"look_augmentation": "stong"}, "look_augmentation: must be 'none', 'mild' or 'strong' (given"),
        ({"look_augmentaton": "mild"}, "did you mean 'look_augmentation'"),
        ({"spatial_size": [28]}, "spatial_size"),
        ({"policy": {"epsilonn": 3}}, "policy.epsilonn"),
        ({"acceptance": {"worst": 3}}, "acceptance.worst"),
        ({"mlflow": "https://anna:secret@mlflow.example.org"}, "mlflow: holds a user or a password"),
        ({"policy": {"epsilon": 0}}, "policy.epsilon: must be above 0"),
        ({"policy": {"kinds": ["images"]}}, "policy.kinds.0"),
    ],
)
def test_a_wrong_site_is_refused_by_key(changes, message):
    with pytest.raises(InputError, match=r"x\.yaml") as e:
        check_site({**GOOD, **changes}, "x.yaml")
    assert message in str(e.value) and e.value.fix


def test_all_problems_are_told_at_once():
    with pytest.raises(InputError) as e:
        check_site({**GOOD, "site": None, "seed": -1, "batch_size": 0}, "x.yaml")
    assert all(key in e.value.problem for key in ("site", "seed", "batch_size"))


def test_a_written_site_is_what_monai_reads(tmp_path):
    write_site(tmp_path / "s.yaml", GOOD)
    assert ConfigParser.load_config_file(tmp_path / "s.yaml") == GOOD
