"""What provisioning may never do to a collaborator: the last admin, a person's choice, somebody else's e-mail."""

from __future__ import annotations

from tests.system.administrator import Administrator


def test_the_last_admin_is_held_not_removed(administrator: Administrator) -> None:
    """PRODUCT §4: "The last ADMIN of a workspace is never removed or demoted by provisioning"."""
    okta = administrator.dashboard_app(default_role="ADMIN")
    ada = okta.assign("ada@example.com")
    assert administrator.role("ada@example.com") == ("ADMIN", "DEFAULT")
    okta.deactivate(ada)
    assert administrator.role("ada@example.com") == ("ADMIN", "DEFAULT")
    held = administrator.effects(outcome="HELD")
    assert [(effect.action, effect.reason, effect.target_name) for effect in held] == [
        ("REMOVE_COLLABORATOR", "LAST_ADMIN", "ada@example.com")
    ]


def test_the_last_admin_is_held_not_demoted(administrator: Administrator) -> None:
    """PRODUCT §4: "The last ADMIN of a workspace is never removed or demoted by provisioning"."""
    okta = administrator.dashboard_app(role_mode="CONTINUOUS")
    ada = okta.assign("ada@example.com")
    admins = okta.push_group("applivery-admin", [ada])
    assert administrator.role("ada@example.com") == ("ADMIN", "GROUP")
    okta.change_members(admins, remove=[ada])
    assert administrator.role("ada@example.com") == ("ADMIN", "GROUP")
    assert [effect.reason for effect in administrator.effects(outcome="HELD")] == ["LAST_ADMIN"]


def test_one_of_two_admins_may_leave(administrator: Administrator) -> None:
    """PRODUCT §4: only "the last ADMIN of a workspace" is protected."""
    okta = administrator.dashboard_app(default_role="ADMIN")
    ada = okta.assign("ada@example.com")
    okta.assign("bob@example.com")
    okta.deactivate(ada)
    assert administrator.collaborator("ada@example.com") is None
    assert administrator.role("bob@example.com") == ("ADMIN", "DEFAULT")
    assert administrator.effects(outcome="HELD") == []


def test_a_role_given_by_hand_is_never_overwritten(administrator: Administrator) -> None:
    """PRODUCT §4: "A person's choice (MANUAL) is never overwritten"."""
    okta = administrator.dashboard_app(role_mode="CONTINUOUS")
    ada = okta.assign("ada@example.com")
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")
    administrator.set_role("ada@example.com", "EDITOR")
    viewers = okta.push_group("applivery-unassigned", [ada])
    assert administrator.role("ada@example.com") == ("EDITOR", "MANUAL")
    okta.delete_group(viewers)
    assert administrator.role("ada@example.com") == ("EDITOR", "MANUAL")


def test_a_collaborator_who_exists_is_linked_and_keeps_the_role(administrator: Administrator) -> None:
    """PRODUCT §4: "A collaborator who exists already in the workspace with that e-mail is linked, not duplicated"."""
    by_hand = administrator.add_collaborator("Ada@Example.com", "EDITOR")
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    collaborator = administrator.collaborator("ada@example.com")
    assert collaborator is not None
    assert collaborator.collaborator_id == by_hand.collaborator_id
    assert collaborator.user_id == ada
    assert administrator.role("ada@example.com") == ("EDITOR", "MANUAL")
    applied = [effect.action for effect in administrator.effects(outcome="APPLIED")]
    assert applied[0] == "LINK_COLLABORATOR"
    assert "CREATE_COLLABORATOR" not in applied


def test_an_email_that_another_account_has_is_refused_and_nothing_is_merged(administrator: Administrator) -> None:
    """PRODUCT §2: "if another account has it, the effect is `FAILED` with that reason and nothing is merged"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    bob = okta.assign("bob@example.com")
    okta.update(ada, emails=[{"primary": True, "value": "BOB@example.com", "type": "work"}])
    failed = administrator.effects(outcome="FAILED")
    assert [(effect.user_id, effect.reason) for effect in failed] == [(ada, "EMAIL_TAKEN")]
    owner, other = administrator.collaborator("ada@example.com"), administrator.collaborator("bob@example.com")
    assert owner is not None
    assert owner.user_id == ada
    assert other is not None
    assert other.user_id == bob


def test_a_user_without_an_email_is_skipped_until_one_appears(administrator: Administrator) -> None:
    """PRODUCT §2: "with none the effect is `SKIPPED`, reason `NO_EMAIL`"."""
    okta = administrator.dashboard_app()
    ada = okta.assign("ada", emails=[])
    assert [effect.reason for effect in administrator.effects()] == ["NO_EMAIL"]
    okta.update(ada, emails=[{"value": "ada@example.com", "type": "work", "primary": True}])
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")


def test_a_user_name_that_is_an_email_serves_when_there_is_no_other(administrator: Administrator) -> None:
    """PRODUCT §2: "the user's primary e-mail, else the first, else a userName that is one"."""
    okta = administrator.dashboard_app()
    okta.assign("ada@example.com", emails=[])
    okta.assign("bob@example.com", emails=[{"value": "b@example.org"}, {"value": "bob@example.org", "primary": True}])
    okta.assign("cyd@example.com", emails=[{"value": "cyd@example.org"}, {"value": "c@example.org"}])
    assert administrator.collaborator("ada@example.com") is not None
    assert administrator.collaborator("bob@example.org") is not None
    assert administrator.collaborator("cyd@example.org") is not None
    assert administrator.collaborator("cyd@example.com") is None
