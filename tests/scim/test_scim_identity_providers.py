"""What identity providers really send, one form after the other."""

from typing import Any

import pytest

from scim.filter import check, evaluate, parse_filter
from scim.patch import (
    Member,
    MemberAdd,
    MemberClear,
    MemberRemove,
    MemberReplace,
    apply_patch,
    parse_patch,
    plan_members,
)
from scim.schemas import ENTERPRISE_USER_URN, GROUP, GROUP_URN, USER, USER_URN
from scim.values import normalize

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ADSCIM_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
OKTA_CUSTOM = "urn:okta:example_1:1.0:user:custom"

OKTA_POST: dict[str, Any] = {
    "schemas": [USER_URN, OKTA_CUSTOM],
    "userName": "Ada.Lovelace@example.com",
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"primary": True, "value": "ada@example.com", "type": "work"}],
    "displayName": "Ada Lovelace",
    "locale": "en-US",
    "externalId": "00ujl29u0le5T6Aj10h7",
    "groups": [],
    "password": "1mz050nq",
    "active": True,
    OKTA_CUSTOM: {"badge": 12},
}
ADA = normalize(USER, OKTA_POST)


def user(document: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    body = {"schemas": [PATCH_OP], "Operations": list(operations)}
    return apply_patch(USER, document, parse_patch(body))


def group(*operations: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    others, changes = plan_members(parse_patch({"schemas": [PATCH_OP], "Operations": list(operations)}))
    return apply_patch(GROUP, {"displayName": "Sales"}, others), changes


class TestOkta:
    def test_assign_user(self) -> None:
        """POST with `groups:[]`, a dummy password and mapped extras; userName keeps its case."""
        computed = ("schemas", "groups", "password")
        assert {name: value for name, value in OKTA_POST.items() if name not in computed} == ADA

    def test_profile_update_returns_our_own_body(self) -> None:
        """`PUT` of our own body merged back: id, meta, groups and all come along."""
        ours = {
            **ADA,
            "schemas": [USER_URN, OKTA_CUSTOM],
            "id": "3f3c",
            "meta": {"resourceType": "User", "location": "https://x/Users/3f3c", "version": 'W/"1"'},
            "groups": [{"value": "g", "display": "Sales", "type": "direct"}],
        }
        assert normalize(USER, ours, for_update=True) == ADA

    def test_deactivate_without_path(self) -> None:
        """`[{"op":"replace","value":{"active":false}}]`."""
        assert user(ADA, {"op": "replace", "value": {"active": False}}) == {**ADA, "active": False}

    def test_deactivate_by_put(self) -> None:
        """`GET` + `PUT` with `active`."""
        assert normalize(USER, {**OKTA_POST, "active": False})["active"] is False

    def test_password_sync(self) -> None:
        """`PATCH` replace `{"password":"…"}`."""
        assert user(ADA, {"op": "replace", "value": {"password": "N3w"}}) == ADA

    def test_push_group(self) -> None:
        """`POST {displayName, members:[]}`, then `PUT` with id and members that have value and display only."""
        assert normalize(GROUP, {"schemas": [GROUP_URN], "displayName": "Sales", "members": []}) == {
            "displayName": "Sales",
            "members": [],
        }
        put = {
            "schemas": [GROUP_URN],
            "id": "1",
            "displayName": "Sales",
            "members": [{"value": "u1", "display": "a@b"}],
        }
        assert normalize(GROUP, put)["members"] == [{"value": "u1", "display": "a@b"}]

    def test_group_without_members_leaves_them(self) -> None:
        """ "a group replace without members emptied the group; `members:null`" are bugs of others."""
        for body in ({"displayName": "Sales"}, {"displayName": "Sales", "members": None}):
            assert "members" not in normalize(GROUP, body)
        assert group({"op": "replace", "value": {"displayName": "x", "members": None}}) == ({"displayName": "x"}, [])

    def test_rename_carries_the_id(self) -> None:
        """`[{"op":"replace","value":{"id":"…","displayName":"…"}}]`."""
        assert group({"op": "replace", "value": {"id": "1", "displayName": "EMEA"}}) == ({"displayName": "EMEA"}, [])

    def test_membership_mixes_removes_and_adds_with_the_name(self) -> None:
        """Filtered removes, adds with value and display, and the name again, in one request."""
        assert group(
            {"op": "remove", "path": 'members[value eq "u1"]'},
            {"op": "remove", "path": 'members[value eq "u2"]'},
            {"op": "add", "path": "members", "value": [{"value": "u3", "display": "c@d"}]},
            {"op": "replace", "value": {"id": "1", "displayName": "Sales"}},
        ) == ({"displayName": "Sales"}, [MemberRemove(("u1", "u2")), MemberAdd((Member("u3", "c@d"),))])

    def test_push_now(self) -> None:
        """`{"op":"replace","path":"members","value":[…]}`, `value:[]` when empty; pathless `{"members":[…]}` too."""
        listed = [{"value": "u1", "display": None}]
        assert group({"op": "replace", "path": "members", "value": listed})[1] == [MemberReplace((Member("u1"),))]
        assert group({"op": "replace", "value": {"members": listed}})[1] == [MemberReplace((Member("u1"),))]
        assert group({"op": "replace", "path": "members", "value": []})[1] == [MemberClear()]

    @pytest.mark.parametrize(
        "text",
        [
            'userName eq "ada.lovelace@example.com"',
            'externalId eq "00ujl29u0le5T6Aj10h7"',
            'emails eq "ada@example.com"',
            'emails.value eq "ada@example.com"',
            'email eq "ada@example.com"',
            'id eq "3f3c"',
        ],
    )
    def test_filters(self, text: str) -> None:
        """It filters with `eq` only: userName; older guides add id, externalId, emails, `emails.value`, `email`."""
        tree = parse_filter(text)
        check(tree, USER)
        assert evaluate(tree, {**ADA, "id": "3f3c"}, USER)

    def test_filter_values_are_taken_literally(self) -> None:
        """`+`, `%2B` and quotes in filter values, which are decoded before they get here and never again."""
        for name in ("a+b@c", "a%2Bb@c", 'a"b@c', "a\\b@c", "a b"):
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            assert evaluate(parse_filter(f'userName eq "{quoted}"'), {"userName": name}, USER)


class TestEntra:
    def test_post_with_strings_for_booleans_and_manager(self) -> None:
        """Booleans as strings; manager as a plain string."""
        body = {
            "schemas": [USER_URN, ENTERPRISE_USER_URN],
            "userName": "ada@x",
            "active": "True",
            "emails": [{"primary": "True", "type": "work", "value": "ada@x"}],
            ENTERPRISE_USER_URN: {"department": "R&D", "manager": "m1"},
        }
        document = normalize(USER, body)
        assert document["active"] is True
        assert document["emails"][0]["primary"] is True
        assert document[ENTERPRISE_USER_URN] == {"department": "R&D", "manager": {"value": "m1"}}

    def test_one_operation_per_attribute(self) -> None:
        """`op` capitalised; value paths, sub-attributes, extension attributes, string booleans."""
        result = user(
            {"userName": "ada@x", "active": True},
            {"op": "Replace", "path": "active", "value": "False"},
            {"op": "Add", "path": 'emails[type eq "work"].value', "value": "ada@x"},
            {"op": "Replace", "path": "name.familyName", "value": "L"},
            {"op": "Add", "path": f"{ENTERPRISE_USER_URN}:department", "value": "R&D"},
            {"op": "Add", "path": f"{ENTERPRISE_USER_URN}:manager", "value": "m1"},
            {"op": "Replace", "path": 'addresses[type eq "work"].streetAddress', "value": "1 Main"},
            {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "admin"},
        )
        assert result == {
            "userName": "ada@x",
            "active": False,
            "emails": [{"type": "work", "value": "ada@x"}],
            "name": {"familyName": "L"},
            ENTERPRISE_USER_URN: {"department": "R&D", "manager": {"value": "m1"}},
            "addresses": [{"type": "work", "streetAddress": "1 Main"}],
            "roles": [{"primary": True, "value": "admin"}],
        }

    def test_values_without_path_have_dotted_and_urn_keys(self) -> None:
        """With the flag `?aadOptscim062020`: `"name.givenName"`, `"urn:…:User:employeeNumber"`."""
        value = {
            "displayName": "Ada L",
            "name.givenName": "Ada",
            "active": "False",
            f"{ENTERPRISE_USER_URN}:employeeNumber": "7",
            f"{ENTERPRISE_USER_URN}:manager": {"value": "m1"},
            'emails[type eq "work"].value': "ada@y",
            "urn:custom:x:badge": "b",
        }
        assert user({"userName": "ada@x", "active": True}, {"op": "Add", "value": value}) == {
            "userName": "ada@x",
            "active": False,
            "displayName": "Ada L",
            "name": {"givenName": "Ada"},
            ENTERPRISE_USER_URN: {"employeeNumber": "7", "manager": {"value": "m1"}},
            "emails": [{"type": "work", "value": "ada@y"}],
            "urn:custom:x": {"badge": "b"},
        }

    def test_group_with_the_schema_of_its_own(self) -> None:
        """Groups carry an extra schema URN, which is no attribute."""
        meta = {"resourceType": "Group"}
        body = {"schemas": [GROUP_URN, ADSCIM_GROUP], "externalId": "e", "displayName": "Sales", "meta": meta}
        assert normalize(GROUP, body) == {"externalId": "e", "displayName": "Sales"}
        assert normalize(GROUP, {**body, ADSCIM_GROUP: {"mail": "s@x"}})[ADSCIM_GROUP] == {"mail": "s@x"}

    def test_membership(self) -> None:
        """Members `[{"$ref":null,"value":"…"}]`; remove with a value list removes only those, without it all."""
        listed = [{"$ref": None, "value": "u1"}]
        assert group({"op": "Add", "path": "members", "value": listed})[1] == [MemberAdd((Member("u1"),))]
        assert group({"op": "Remove", "path": "members", "value": listed})[1] == [MemberRemove(("u1",))]
        assert group({"op": "Remove", "path": "members"})[1] == [MemberClear()]

    def test_filters_with_and(self) -> None:
        """Filters with `eq` and `and`."""
        tree = parse_filter('displayName eq "sales" and externalId eq "e"')
        assert evaluate(tree, {"displayName": "Sales", "externalId": "e"}, GROUP)
        assert not evaluate(tree, {"displayName": "Sales", "externalId": "E"}, GROUP)
        by_value_path = parse_filter('emails[type eq "work"].value eq "ADA@example.com"')
        check(by_value_path, USER)
        assert evaluate(by_value_path, ADA, USER)


class TestOthers:
    def test_pingone_writes_names_and_operators_in_any_case(self) -> None:
        """`username Eq "x"`, `co`; may send two `primary:true`."""
        assert evaluate(parse_filter('username Eq "ADA.lovelace@example.com"'), ADA, USER)
        assert evaluate(parse_filter('USERNAME cO "lovelace"'), ADA, USER)
        body = {"username": "x", "emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]}
        assert [email["primary"] for email in normalize(USER, body)["emails"]] == [True, False]

    def test_members_as_bare_strings(self) -> None:
        """Some send member values as bare strings."""
        assert normalize(GROUP, {"displayName": "g", "members": ["u1"]})["members"] == [{"value": "u1"}]
        assert group({"op": "add", "path": "members", "value": ["u1", "u2"]})[1] == [
            MemberAdd((Member("u1"), Member("u2")))
        ]

    def test_numeric_external_id_stays_text(self) -> None:
        """CVE-2025-41115: an externalId such as "1" is opaque text and nothing else."""
        assert normalize(USER, {"userName": "x", "externalId": "1"})["externalId"] == "1"
