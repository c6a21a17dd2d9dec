"""Any role, removal or policy answers "why?": effect, event, SCIM request."""

from __future__ import annotations

import pytest
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.directory.v1 import directory_service_pb2

from tests.system.administrator import Administrator


def test_an_effect_leads_to_its_event_and_to_the_scim_request(administrator: Administrator) -> None:
    """PRODUCT §7: "any role, removal or policy answers "why?": effect → event → SCIM request"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    administrator.stack.settled()
    answer = okta.http.put(
        f"/Users/{ada}", json={**okta.user(ada), "active": False}, headers={"X-Request-Id": "okta-request-0001"}
    )
    assert answer.headers["x-request-id"] == "okta-request-0001"
    (effect,) = administrator.effects(action="REMOVE_COLLABORATOR")
    assert effect.request_id == "okta-request-0001"
    assert effect.event_type == "rollcall.directory.v1.UserDeactivated"
    assert (effect.user_id, effect.connection_id) == (ada, okta.connection.connection_id)
    assert effect.rule == "on_deactivate"
    assert effect.rule_version > 0
    assert "VIEWER" in effect.before

    event = stack.users_and_groups.GetEvent(directory_service_pb2.GetEventRequest(event_id=effect.event_id)).event
    assert event.type == effect.event_type
    assert event.resource_id == ada
    assert event.request_id == "okta-request-0001"
    assert event.request == "PUT /Users/{id}"
    assert event.HasField("published_time")


def test_effects_are_found_by_user_outcome_and_target(administrator: Administrator) -> None:
    """PRODUCT §8: "`effects W [--user U] [--outcome O] [--follow]` · `why W TARGET`"."""
    stack, okta = administrator.stack, administrator.dashboard_app(default_role="ADMIN")
    ada = okta.assign("ada@example.com")
    okta.assign("nomail", emails=[])
    okta.deactivate(ada)
    administrator.stack.settled()

    def actions(**wanted: str | int) -> list[str]:
        request = delivery_service_pb2.ListEffectsRequest(workspace_id=administrator.workspace_id, **wanted)
        return [effect.action for effect in stack.portal_delivery.ListEffects(request).effects]

    assert actions(user=ada) == ["REMOVE_COLLABORATOR", "CREATE_COLLABORATOR"]
    assert actions(user="ada@example.com") == ["REMOVE_COLLABORATOR", "CREATE_COLLABORATOR"]
    assert actions(outcome=delivery_service_pb2.OUTCOME_HELD) == ["REMOVE_COLLABORATOR"]
    assert actions(outcome=delivery_service_pb2.OUTCOME_SKIPPED) == ["CREATE_COLLABORATOR"]
    assert actions(target="ada@example.com") == ["REMOVE_COLLABORATOR", "CREATE_COLLABORATOR"]
    first = administrator.effects("portal")[0]
    following = delivery_service_pb2.ListEffectsRequest(
        workspace_id=administrator.workspace_id, after_effect_id=first.effect_id
    )
    # Whoever follows is told of an effect when no earlier one can still appear, which may be a moment later.
    stack.eventually(lambda: len(stack.portal_delivery.ListEffects(following).effects) == 2)


@pytest.mark.parametrize("mapped", ["group", "default"])
def test_a_role_says_where_it_came_from(administrator: Administrator, mapped: str) -> None:
    """PRODUCT §4: "A collaborator knows where its role came from: `DEFAULT`, `GROUP` or `MANUAL`"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    if mapped == "group":
        okta.push_group("applivery-editor", [ada])
        (effect,) = administrator.effects(action="SET_ROLE")
        assert "EDITOR" in effect.after
        assert "VIEWER" in effect.before
        assert effect.event_type == "rollcall.directory.v1.GroupMembersChanged"
    assert administrator.role("ada@example.com") == (
        ("EDITOR", "GROUP") if mapped == "group" else ("VIEWER", "DEFAULT")
    )
