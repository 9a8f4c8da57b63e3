from __future__ import annotations

import torch
from PIL import Image

from clinical_qkt.research.contact_sheet import EDGE, MARGIN, PLACE, contact_sheet


def test_a_sheet_has_a_place_for_each_picture_with_the_picture_upright_in_it(tmp_path):
    left_red = torch.zeros(3, 28, 28)
    left_red[0, :14] = 255  # (channels, width, height): the left half
    grey = torch.full((1, 28, 28), 128)
    contact_sheet(tmp_path / "s.png", {"a": [left_red, grey], "b": [grey, grey]}, ["one", "two"])
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (MARGIN + 2 * PLACE + EDGE, MARGIN + 2 * PLACE)
        found = [sheet.convert("RGB").getpixel((MARGIN + x, MARGIN + 30)) for x in (20, 60, PLACE + 20)]
    assert found == [(255, 0, 0), (0, 0, 0), (128, 128, 128)]
