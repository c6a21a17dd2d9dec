"""Groups within groups, all the way: what SCIM shows, which role follows, which publications are seen."""

from __future__ import annotations

from typing import Any

from tests.system.administrator import Administrator
from tests.system.okta import OktaApp


def push(app: OktaApp, name: str, *groups: str, users: tuple[str, ...] = ()) -> str:
    """Push a group that holds users and groups."""
    members = [{"value": user_id} for user_id in users] + [{"value": group, "type": "Group"} for group in groups]
    answer = app.http.post("/Groups", json={"displayName": name, "members": members})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def memberships(app: OktaApp, user_id: str) -> dict[str, str]:
    """The groups of a user as SCIM shows them."""
    return {group["display"]: group["type"] for group in app.user(user_id).get("groups", [])}


def test_roles_follow_nested_groups_and_end_with_any_link(administrator: Administrator) -> None:
    """Design: "role mapping and publication audiences follow nested membership"; PRODUCT §4: "the highest privilege
    wins", "leaving the last mapped group returns to the default role".
    """
    app = administrator.dashboard_app(role_mode="CONTINUOUS")
    ada, bob = app.assign("ada@example.com"), app.assign("bob@example.com")
    team = push(app, "Team", users=(ada,))
    division = push(app, "Division", team, users=(bob,))
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")
    admins = push(app, "applivery-admin", division)
    editors = push(app, "applivery-editor", team)
    assert memberships(app, ada) == {
        "Team": "direct", "Division": "indirect", "applivery-admin": "indirect", "applivery-editor": "indirect"
    }  # fmt: skip
    assert administrator.role("ada@example.com") == ("ADMIN", "GROUP")
    assert administrator.role("bob@example.com") == ("ADMIN", "GROUP")
    administrator.add_collaborator("owner@example.com", "ADMIN")

    app.change_members(division, remove=[team])
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")
    assert administrator.role("bob@example.com") == ("ADMIN", "GROUP")
    app.change_members(division, add=[team])
    assert administrator.role("ada@example.com") == ("ADMIN", "GROUP")

    # The group between the people and the mapping goes: nobody belongs to the mapped one through it any more.
    app.delete_group(division)
    assert app.group(admins)["members"] == []
    assert memberships(app, ada) == {"Team": "direct", "applivery-editor": "indirect"}
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")
    assert administrator.role("bob@example.com") == ("VIEWER", "DEFAULT")
    app.delete_group(editors)
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")


def test_audiences_follow_nested_groups_and_a_group_that_comes_later(administrator: Administrator) -> None:
    """PRODUCT §5: "access ends with membership or with the employee"; §2: a parked value becomes a membership later."""
    app = administrator.store_app()
    ada = app.assign("ada@example.com")
    body: dict[str, Any] = {"displayName": "Everyone", "members": [{"value": "ext-team", "type": "Group"}]}
    everyone = app.http.post("/Groups", json=body).json()["id"]
    publication = administrator.publish("Expenses", ["Everyone"])
    assert not administrator.may_see("ada@example.com", publication)

    body = {"displayName": "Team", "externalId": "ext-team", "members": [{"value": ada}]}
    team = app.http.post("/Groups", json=body).json()["id"]
    (member,) = app.group(everyone)["members"]
    assert (member["value"], member["type"], member["display"]) == (team, "Group", "Team")
    assert member["$ref"].endswith(f"/Groups/{team}")
    assert administrator.may_see("ada@example.com", publication)

    app.change_members(team, remove=[ada])
    assert not administrator.may_see("ada@example.com", publication)
    app.change_members(team, add=[ada])
    assert administrator.sees("ada@example.com") == ["Expenses"]
    app.delete_group(team)
    assert administrator.sees("ada@example.com") == []
