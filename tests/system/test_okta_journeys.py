"""Joiner, mover, leaver, rejoiner, rename: what an Okta app does, and everything that follows from it."""

from __future__ import annotations

from tests.system.administrator import Administrator


def test_a_joiner_becomes_a_collaborator_with_the_default_role(administrator: Administrator) -> None:
    """PRODUCT §4: "on create `NOTHING | CREATE_COLLABORATOR`; default role `ADMIN | EDITOR | VIEWER`"."""
    okta = administrator.dashboard_app(default_role="EDITOR")
    okta.assign("ada@example.com")
    assert administrator.role("ada@example.com") == ("EDITOR", "DEFAULT")
    collaborator = administrator.collaborator("ada@example.com")
    assert collaborator is not None
    assert collaborator.display_name == "Ada Example"


def test_a_group_pushed_after_the_users_decides_their_roles(administrator: Administrator) -> None:
    """PRODUCT §4: "Okta creates users before it pushes groups, so "first" lasts a settling period"."""
    okta = administrator.dashboard_app()
    ada, bob = okta.assign("ada@example.com"), okta.assign("bob@example.com")
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")
    okta.push_group("Applivery-Admin", [ada])
    assert administrator.role("ada@example.com") == ("ADMIN", "GROUP")
    assert administrator.role("bob@example.com") == ("VIEWER", "DEFAULT")
    okta.push_group("applivery-unassigned", [bob])
    assert administrator.role("bob@example.com") == ("UNASSIGNED", "GROUP")


def test_the_highest_privilege_of_several_groups_wins(administrator: Administrator) -> None:
    """PRODUCT §4: "If several groups match, the highest privilege wins: ADMIN > EDITOR > VIEWER > UNASSIGNED"."""
    okta = administrator.dashboard_app(default_role="VIEWER")
    administrator.map_role(okta.connection, "Compilers", "EDITOR")
    ada = okta.assign("ada@example.com")
    okta.push_group("applivery-unassigned", [ada])
    okta.push_group("compilers", [ada])
    okta.push_group("applivery-viewer", [ada])
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")


def test_an_employee_sees_the_publications_of_their_groups(administrator: Administrator) -> None:
    """PRODUCT §5: "access ends with membership or with the employee"."""
    okta = administrator.store_app()
    ada, bob = okta.assign("ada@example.com"), okta.assign("bob@example.com")
    field = okta.push_group("Field staff", [ada])
    administrator.stack.settled()
    survey = administrator.publish("Site survey", ["field STAFF"])
    administrator.publish("Timesheets")
    assert administrator.sees("ada@example.com") == ["Site survey", "Timesheets"]
    assert administrator.sees("bob@example.com") == ["Timesheets"]

    okta.change_members(field, add=[bob], remove=[ada])
    assert administrator.sees("ada@example.com") == ["Timesheets"]
    assert administrator.sees("bob@example.com") == ["Site survey", "Timesheets"]

    okta.deactivate(bob)
    assert administrator.sees("bob@example.com") == []
    assert not administrator.may_see("bob@example.com", survey)


def test_a_group_is_an_audience_before_it_has_any_member(administrator: Administrator) -> None:
    """PRODUCT §2: "Groups are first-class: they exist and can be used … before any member logs in"."""
    okta = administrator.store_app()
    field = okta.push_group("Field staff")
    survey = administrator.publish("Site survey", ["Field staff"])
    ada = okta.assign("ada@example.com")
    assert not administrator.may_see("ada@example.com", survey)
    okta.change_members(field, add=[ada])
    assert administrator.may_see("ada@example.com", survey)


def test_a_mover_follows_the_groups_while_the_role_is_settling(administrator: Administrator) -> None:
    """PRODUCT §4: "within it each group change re-decides"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    editors = okta.push_group("applivery-editor", [ada])
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")
    okta.change_members(editors, remove=[ada])
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")


def test_with_no_settling_period_a_later_group_decides_nothing(administrator: Administrator) -> None:
    """PRODUCT §4: "default 1 hour, configurable, 0 allowed … after it the role stands"."""
    okta = administrator.dashboard_app(settling_seconds=0)
    ada = okta.assign("ada@example.com")
    okta.push_group("applivery-editor", [ada])
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")


def test_in_continuous_mode_groups_decide_always(administrator: Administrator) -> None:
    """PRODUCT §4: "`CONTINUOUS`: groups decide always; leaving the last mapped group returns to the default role"."""
    okta = administrator.dashboard_app(role_mode="CONTINUOUS", settling_seconds=0)
    ada = okta.assign("ada@example.com")
    editors = okta.push_group("applivery-editor", [ada])
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")
    okta.delete_group(editors)
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")


def test_a_leaver_loses_the_dashboard_and_a_rejoiner_gets_it_back(administrator: Administrator) -> None:
    """PRODUCT §2: "Deactivation is the transition `active` true → false and reactivation false → true"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    okta.push_group("applivery-editor", [ada])
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")

    okta.deactivate(ada)
    assert administrator.collaborator("ada@example.com") is None
    found = okta.find("ada@example.com")
    assert found is not None
    assert found["active"] is False

    assert okta.assign("ada@example.com") == ada
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")


def test_deactivating_twice_removes_once(administrator: Administrator) -> None:
    """PRODUCT §2: "a write that changes nothing changes no version, no `lastModified`, and publishes nothing"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    okta.deactivate(ada)
    before = okta.user(ada)["meta"]
    okta.deactivate(ada)
    assert okta.user(ada)["meta"] == before
    assert len(administrator.effects(action="REMOVE_COLLABORATOR")) == 1


def test_deleting_a_user_counts_as_a_deactivation(administrator: Administrator) -> None:
    """PRODUCT §2: "DELETE of a user removes it (then 404) and counts downstream as a deactivation"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    assert administrator.collaborator("ada@example.com") is not None
    okta.delete_user(ada)
    assert okta.http.get(f"/Users/{ada}").status_code == 404
    assert administrator.collaborator("ada@example.com") is None
    assert [effect.user_name for effect in administrator.effects(action="REMOVE_COLLABORATOR")] == ["ada@example.com"]


def test_with_the_rule_nothing_a_leaver_stays_and_the_effect_says_so(administrator: Administrator) -> None:
    """PRODUCT §4: "on deactivate `NOTHING | REMOVE_COLLABORATOR`"; §7: "`SKIPPED` with reason"."""
    okta = administrator.dashboard_app(on_deactivate="NOTHING")
    ada = okta.assign("ada@example.com")
    okta.deactivate(ada)
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")
    assert [effect.reason for effect in administrator.effects(outcome="SKIPPED")] == ["RULE_NOTHING"]


def test_a_renamed_user_keeps_the_account(administrator: Administrator) -> None:
    """PRODUCT §2: "When it changes, the account's e-mail follows"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    before = administrator.collaborator("ada@example.com")
    assert before is not None
    okta.update(
        ada,
        userName="ada.king@example.com",
        displayName="Ada King",
        emails=[{"primary": True, "value": "ada.king@example.com", "type": "work"}],
    )
    after = administrator.collaborator("ada.king@example.com")
    assert after is not None
    assert after.collaborator_id == before.collaborator_id
    assert after.display_name == "Ada King"
    assert administrator.collaborator("ada@example.com") is None


def test_a_renamed_group_neither_grants_nor_takes(administrator: Administrator) -> None:
    """PRODUCT §4: "a mapping is bound to the group's id when first seen"."""
    okta = administrator.dashboard_app(role_mode="CONTINUOUS")
    ada, bob = okta.assign("ada@example.com"), okta.assign("bob@example.com")
    editors = okta.push_group("applivery-editor", [ada])
    other = okta.push_group("Canteen", [bob])
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")

    okta.rename_group(editors, "Compilers")
    assert administrator.role("ada@example.com") == ("EDITOR", "GROUP")
    okta.rename_group(other, "applivery-editor")
    assert administrator.role("bob@example.com") == ("VIEWER", "DEFAULT")
    okta.change_members(editors, add=[bob])
    assert administrator.role("bob@example.com") == ("EDITOR", "GROUP")


def test_the_rules_say_which_group_a_mapping_is_bound_to(administrator: Administrator) -> None:
    """PRODUCT §4: "Names compare case-insensitively; a mapping is bound to the group's id when first seen"."""
    okta = administrator.dashboard_app()
    compilers = okta.push_group("Compilers")
    administrator.stack.settled()
    rules = administrator.map_role(okta.connection, "COMPILERS", "EDITOR")
    bound = {mapping.group.casefold(): mapping.group_id for mapping in rules.role_mappings}
    assert bound["compilers"] == compilers
    assert bound["applivery-admin"] == ""
