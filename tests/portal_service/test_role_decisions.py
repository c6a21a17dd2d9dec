"""Roles as pure decisions: precedence, settling period, mode, a person's choice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollcall.portal.v1.portal_service_pb2 import (
    ROLE_ADMIN,
    ROLE_EDITOR,
    ROLE_MODE_CONTINUOUS,
    ROLE_MODE_FIRST_PROVISIONING,
    ROLE_SOURCE_DEFAULT,
    ROLE_SOURCE_GROUP,
    ROLE_SOURCE_MANUAL,
    ROLE_UNASSIGNED,
    ROLE_VIEWER,
)

from portal_service.domain.roles import Choice, Policy, choose, decide, highest, is_settling, takes_admin

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = Policy(ROLE_VIEWER, ROLE_MODE_FIRST_PROVISIONING, HOUR)
ALWAYS = Policy(ROLE_VIEWER, ROLE_MODE_CONTINUOUS, HOUR)
DEFAULT = Choice(ROLE_VIEWER, ROLE_SOURCE_DEFAULT)

# Written out on purpose: the model must not share the order of the contract's numbers with the code.
PRIVILEGE = ["UNASSIGNED", "VIEWER", "EDITOR", "ADMIN"]
NUMBER = {"UNASSIGNED": ROLE_UNASSIGNED, "VIEWER": ROLE_VIEWER, "EDITOR": ROLE_EDITOR, "ADMIN": ROLE_ADMIN}


@pytest.mark.parametrize(
    ("groups", "winner"),
    [
        (["ADMIN", "EDITOR", "VIEWER", "UNASSIGNED"], "ADMIN"),
        (["UNASSIGNED", "VIEWER", "EDITOR"], "EDITOR"),
        (["UNASSIGNED", "VIEWER"], "VIEWER"),
        (["UNASSIGNED"], "UNASSIGNED"),
    ],
)
def test_the_highest_privilege_wins(groups: list[str], winner: str) -> None:
    """PRODUCT §4: "the highest privilege wins: ADMIN > EDITOR > VIEWER > UNASSIGNED"."""
    assert highest(NUMBER[name] for name in groups) == NUMBER[winner]


def test_no_mapped_group_means_the_default_role() -> None:
    """PRODUCT §4: "leaving the last mapped group returns to the default role"."""
    assert choose(FIRST, []) == DEFAULT
    assert highest([]) is None


def test_a_mapped_group_decides_at_creation_even_without_a_settling_period() -> None:
    """PRODUCT §4: "groups decide when the collaborator is first provisioned" (a settling period of 0 is allowed)."""
    policy = Policy(ROLE_VIEWER, ROLE_MODE_FIRST_PROVISIONING, timedelta())
    assert choose(policy, [ROLE_UNASSIGNED]) == Choice(ROLE_UNASSIGNED, ROLE_SOURCE_GROUP)
    assert decide(DEFAULT, policy, [ROLE_ADMIN], created=MORNING, at=MORNING) == DEFAULT


def test_within_the_settling_period_each_group_change_decides_again() -> None:
    """PRODUCT §4: "within it each group change re-decides; after it the role stands"."""
    last_moment = MORNING + HOUR - timedelta(microseconds=1)
    editor = decide(DEFAULT, FIRST, [ROLE_EDITOR], created=MORNING, at=last_moment)
    assert editor == Choice(ROLE_EDITOR, ROLE_SOURCE_GROUP)
    assert decide(editor, FIRST, [], created=MORNING, at=last_moment) == DEFAULT
    assert decide(editor, FIRST, [], created=MORNING, at=MORNING + HOUR) == editor
    assert not is_settling(FIRST, MORNING, MORNING + HOUR)


def test_continuous_mode_knows_no_settling_period() -> None:
    """PRODUCT §4: "`CONTINUOUS`: groups decide always"."""
    much_later = MORNING + timedelta(days=400)
    assert decide(DEFAULT, ALWAYS, [ROLE_ADMIN], created=MORNING, at=much_later).role == ROLE_ADMIN
    assert decide(Choice(ROLE_ADMIN, ROLE_SOURCE_GROUP), ALWAYS, [], created=MORNING, at=much_later) == DEFAULT


@pytest.mark.parametrize("policy", [FIRST, ALWAYS])
def test_a_persons_choice_is_never_overwritten(policy: Policy) -> None:
    """PRODUCT §4: "A person's choice (MANUAL) is never overwritten"."""
    chosen = Choice(ROLE_UNASSIGNED, ROLE_SOURCE_MANUAL)
    assert decide(chosen, policy, [ROLE_ADMIN], created=MORNING, at=MORNING) == chosen


def test_only_the_step_down_from_admin_takes_an_admin() -> None:
    """PRODUCT §4: "The last ADMIN of a workspace is never removed or demoted by provisioning"."""
    assert takes_admin(ROLE_ADMIN, None)
    assert takes_admin(ROLE_ADMIN, ROLE_EDITOR)
    assert not takes_admin(ROLE_ADMIN, ROLE_ADMIN)
    assert not takes_admin(ROLE_EDITOR, None)


def model(
    standing: tuple[str, str], mode: str, groups: list[str], default: str, age: float, settling: float
) -> tuple[str, str]:
    """PRODUCT §4 read aloud, with names instead of numbers."""
    if standing[1] == "MANUAL":
        return standing
    if mode == "FIRST_PROVISIONING" and age >= settling:
        return standing
    for name in reversed(PRIVILEGE):
        if name in groups:
            return name, "GROUP"
    return default, "DEFAULT"


@given(
    role=st.sampled_from(PRIVILEGE),
    source=st.sampled_from(["DEFAULT", "GROUP", "MANUAL"]),
    mode=st.sampled_from(["FIRST_PROVISIONING", "CONTINUOUS"]),
    groups=st.lists(st.sampled_from(PRIVILEGE), max_size=5),
    default=st.sampled_from(PRIVILEGE[1:]),
    age=st.integers(-100, 7_200),
    settling=st.integers(0, 7_200),
)
def test_decisions_are_those_of_the_design(
    role: str, source: str, mode: str, groups: list[str], default: str, age: int, settling: int
) -> None:
    """PRODUCT §4 as a whole: source, mode, settling period and precedence together."""
    sources = {"DEFAULT": ROLE_SOURCE_DEFAULT, "GROUP": ROLE_SOURCE_GROUP, "MANUAL": ROLE_SOURCE_MANUAL}
    modes = {"FIRST_PROVISIONING": ROLE_MODE_FIRST_PROVISIONING, "CONTINUOUS": ROLE_MODE_CONTINUOUS}
    decided = decide(
        Choice(NUMBER[role], sources[source]),
        Policy(NUMBER[default], modes[mode], timedelta(seconds=settling)),
        [NUMBER[name] for name in groups],
        created=MORNING,
        at=MORNING + timedelta(seconds=age),
    )
    expected_role, expected_source = model((role, source), mode, groups, default, age, settling)
    assert decided == Choice(NUMBER[expected_role], sources[expected_source])
