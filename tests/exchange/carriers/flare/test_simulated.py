"""A sweep by FLARE's simulator, as a demo runs it."""

from __future__ import annotations

import pytest

pytest.importorskip("nvflare", reason='NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"')

from clinical_qkt.core.errors import InputError
from clinical_qkt.exchange.carriers.flare.simulated import relay_once
from tests.exchange.carriers.flare.federation import holding
from tests.exchange.carriers.flare.parcels import SECRET, A, B, C, bytes_of, come, put, waiting


@pytest.mark.slow  # the simulator starts a process for each site
def test_the_simulator_delivers_and_leaves_no_parcel_behind(tmp_path):
    spools = {site: tmp_path / "spools of this test" / site for site in (A, B, C)}
    sent = {put(spools[s], s, r): bytes_of(s, r) for s, r in ((A, B), (B, C), (C, A))}
    for _ in range(3):  # in the same folder again; the simulator does not start each site's process each time
        reached = relay_once(spools, tmp_path / "workspace").reached
        if reached == (A, B, C):
            break
    assert reached == (A, B, C)
    assert {n: b for spool in spools.values() for n, b in come(spool).items()} == sent
    assert not any(waiting(spool) for spool in spools.values())
    assert holding(tmp_path / "spools of this test", SECRET) and not holding(tmp_path / "workspace", SECRET)


def test_a_workspace_that_the_simulator_could_not_use_is_refused(tmp_path):
    with pytest.raises(InputError, match="without spaces"):
        relay_once({A: tmp_path}, tmp_path / "a workspace")
