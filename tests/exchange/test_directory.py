"""Who is asked where a directory says who has what."""

from __future__ import annotations

import json

import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel, LabelSpace
from clinical_qkt.exchange import asking, directory
from clinical_qkt.exchange.carriers.folder import DIRECTORY
from tests.exchange.world import World


def offer(world: World, site: str, *classes: str, key: str = "") -> None:
    desk = world.desk(site)
    signing = world.root / "keys" / f"{key or site}.key"
    directory.publish(desk.carrier(), site, LabelSpace(classes), signing)


def test_those_who_offer_a_class_are_asked(world):
    offer(world, "north", "Basophil")
    offer(world, "south", "platelet")
    assert asking.receivers(world.desk("ask"), ["offering"]) == ["north"]
    offer(world, "south", "platelet", "monocyte")
    assert asking.receivers(world.desk("ask"), ["offering"]) == ["north", "south"]


def test_nobody_is_asked_where_nobody_offers(world):
    with pytest.raises(InputError, match="there is nobody to ask"):
        asking.receivers(world.desk("ask"), ["offering"])


def test_an_offer_counts_with_the_sites_own_signature_alone(world):
    offer(world, "north", "basophil", key="south")
    place = world.root / "mailbox" / DIRECTORY
    found, doubts = directory.offers(world.desk("ask").carrier(), world.desk("ask").trusted_keys)
    assert not found and "is not signed" in doubts[0]
    offer(world, "north", "basophil")
    (place / "south.json").write_bytes((place / "north.json").read_bytes())
    found, doubts = directory.offers(world.desk("ask").carrier(), world.desk("ask").trusted_keys)
    assert list(found) == ["north"] and "is not as it should be" in doubts[0]


@pytest.mark.parametrize(
    "content", [b"", b"[" * 300_000, b"{}", json.dumps({"offer": "{}", "signature": ""}).encode()]
)
def test_what_is_no_offer_is_passed_over_and_told(world, content):
    offer(world, "north", "basophil")
    (world.root / "mailbox" / DIRECTORY / "south.json").write_bytes(content)
    found, doubts = directory.offers(world.desk("ask").carrier(), world.desk("ask").trusted_keys)
    assert list(found) == ["north"] and doubts == ["the offer of south cannot be read"]


def test_a_class_that_could_be_several_is_asked_for(world):
    classes = [{"name": "baso", "system": "s", "code": "1"}, "basophil"]
    offered = directory.Offer(site="north", classes=classes, since="2026-11-27T00:00:00Z")
    asked = ClassLabel(name="basophil", system="s", code="1")
    assert directory.offering({"north": offered}, [asked]) == ["north"]
