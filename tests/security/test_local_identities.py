"""What `rollcall up` makes for a stack on this machine (SECURITY, "Inside")."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chassis.nats_permissions import USERS
from cli.errors import Refused
from cli.up import make_nats_identities, nats_seed


def test_identities_are_generated_on_first_start_and_kept(tmp_path: Path) -> None:
    """PRODUCT 8: "`up` makes one on first start and keeps it, mode 0600, in the data directory"; a data directory of
    a release that had none gets them the same way."""
    (tmp_path / "credentials.json").write_text("{}")
    keys = make_nats_identities(tmp_path)
    assert set(keys) == set(USERS)
    assert len(set(keys.values())) == len(USERS)
    for user in USERS:
        assert stat.S_IMODE(nats_seed(tmp_path, user).stat().st_mode) == 0o600
        assert keys[user].encode() not in nats_seed(tmp_path, user).read_bytes()
    assert stat.S_IMODE(nats_seed(tmp_path, "portal").parent.stat().st_mode) == 0o700
    assert make_nats_identities(tmp_path) == keys


def test_a_seed_that_is_none_is_told(tmp_path: Path) -> None:
    """One clear line that names the file."""
    make_nats_identities(tmp_path)
    nats_seed(tmp_path, "mdm").write_text("something else")
    with pytest.raises(Refused, match=r"nats-mdm\.seed holds no nkey seed"):
        make_nats_identities(tmp_path)
