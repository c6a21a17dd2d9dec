"""Members that name nobody yet: accepted, parked, and resolved when the user appears."""

from __future__ import annotations

import pytest
from rollcall.directory.v1 import directory_service_pb2

from tests.system.administrator import Administrator
from tests.system.okta import OktaApp


def parked(administrator: Administrator, okta: OktaApp) -> list[str]:
    request = directory_service_pb2.ListParkedMembersRequest(connection_id=okta.connection.connection_id)
    listed = administrator.stack.users_and_groups.ListParkedMembers(request)
    assert listed.total_size == len(listed.parked_members)
    return sorted(member.value for member in listed.parked_members)


@pytest.mark.parametrize("value", ["00uada", "ADA@example.com"])
def test_a_parked_member_joins_when_its_user_appears(administrator: Administrator, value: str) -> None:
    """PRODUCT §2: "turned into a membership when a user with that id, externalId or userName appears"."""
    okta = administrator.dashboard_app()
    editors = okta.push_group("applivery-editor", [value])
    assert okta.group(editors).get("members", []) == []
    assert parked(administrator, okta) == [value]
    assert okta.http.get("/Users").json()["totalResults"] == 0

    ada = okta.assign("ada@example.com", externalId="00uada")
    assert [member["value"] for member in okta.group(editors)["members"]] == [ada]
    assert parked(administrator, okta) == []
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")


def test_a_parked_member_joins_when_a_user_is_renamed_to_it(administrator: Administrator) -> None:
    """PRODUCT §2: "turned into a membership when a user with that … userName appears"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    editors = okta.push_group("applivery-editor", ["ada.king@example.com"])
    assert parked(administrator, okta) == ["ada.king@example.com"]
    okta.update(ada, userName="ada.king@example.com")
    assert [member["value"] for member in okta.group(editors)["members"]] == [ada]
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")


def test_a_parked_member_is_dropped_when_the_group_no_longer_lists_it(administrator: Administrator) -> None:
    """PRODUCT §2: "It is dropped when the group no longer lists it"."""
    okta = administrator.dashboard_app()
    editors = okta.push_group("applivery-editor", ["ada@example.com", "bob@example.com", "cyd@example.com"])
    okta.change_members(editors, remove=["ada@example.com"])
    assert parked(administrator, okta) == ["bob@example.com", "cyd@example.com"]
    okta.set_group(editors, "applivery-editor", ["cyd@example.com"])
    assert parked(administrator, okta) == ["cyd@example.com"]
    okta.delete_group(editors)
    assert parked(administrator, okta) == []
    for name in ("ada", "bob", "cyd"):
        okta.assign(f"{name}@example.com")
        assert administrator.role(f"{name}@example.com") == ("VIEWER", "DEFAULT")
