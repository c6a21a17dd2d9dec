"""From a custom attribute in the identity provider to the metadata of an account downstream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from rollcall.directory.v1 import connection_service_pb2 as connections

from tests.stack import Connection, Stack, refused
from tests.system.administrator import Administrator
from tests.system.okta import USER_URN

CUSTOM = "urn:okta:acme_dashboard_1:1.0:user:custom"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def set_mapping(stack: Stack, connection: Connection, mapping: Sequence[dict[str, Any]]) -> None:
    """Replace the mapping and wait until every user was resolved again."""
    request = connections.UpdateAttributeMappingRequest()
    json_format.ParseDict({"connection_id": connection.connection_id, "mapped_attributes": mapping}, request)
    stack.connections.UpdateAttributeMapping(request)
    reading = connections.GetAttributeMappingRequest(connection_id=connection.connection_id)
    stack.eventually(lambda: stack.connections.GetAttributeMapping(reading).pending_users == 0, what="re-resolution")


def metadata(administrator: Administrator, email: str) -> dict[str, Any]:
    collaborator = administrator.collaborator(email)
    assert collaborator is not None
    found: dict[str, Any] = json_format.MessageToDict(collaborator.metadata)
    return found


def test_a_custom_attribute_reaches_the_collaborator_and_follows_the_mapping(administrator: Administrator) -> None:
    """PRODUCT §3: "Changing the mapping re-resolves every user of the connection in the background"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    extension = {"schemas": [USER_URN, CUSTOM], CUSTOM: {"costCentre": "CC-42", "building": "North"}}
    ada = okta.assign("ada@example.com", **extension)
    okta.assign("bob@example.com", title="Chair")
    assert metadata(administrator, "ada@example.com") == {}

    sources = [{"namespace": CUSTOM, "key": "costCentre"}, {"key": "title"}]
    set_mapping(stack, okta.connection, [{"name": "centre", "attributes": sources}])
    assert metadata(administrator, "ada@example.com") == {"centre": "CC-42"}
    assert metadata(administrator, "bob@example.com") == {"centre": "Chair"}

    okta.update(ada, **{CUSTOM: {"costCentre": "CC-43", "building": "North"}})
    assert metadata(administrator, "ada@example.com") == {"centre": "CC-43"}

    set_mapping(stack, okta.connection, [{"name": "building", "attributes": [{"key": "building"}]}])
    assert metadata(administrator, "ada@example.com") == {"building": "North"}
    assert metadata(administrator, "bob@example.com") == {}


def test_a_mapping_change_publishes_only_those_whose_metadata_changed(administrator: Administrator) -> None:
    """PRODUCT §3: "publishes updates for those whose metadata changed"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    ada, bob = okta.assign("ada@example.com", title="Chair"), okta.assign("bob@example.com")
    before = {user: okta.user(user)["meta"]["version"] for user in (ada, bob)}
    events = stack.events(okta.connection)
    set_mapping(stack, okta.connection, [{"name": "title", "attributes": [{"key": "title"}]}])
    assert metadata(administrator, "ada@example.com") == {"title": "Chair"}
    assert stack.events(okta.connection) == events + 1
    assert okta.user(bob)["meta"]["version"] == before[bob]


def test_the_first_source_that_yields_a_value_wins_core_before_enterprise_before_the_rest(
    administrator: Administrator,
) -> None:
    """PRODUCT §3: "without one, the first schema that has the key: core, then enterprise, then the rest"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    set_mapping(
        stack,
        okta.connection,
        [
            {"name": "department", "attributes": [{"key": "department"}]},
            {"name": "custom_department", "attributes": [{"namespace": CUSTOM, "key": "department"}]},
            {"name": "work", "attributes": [{"key": 'emails[type eq "work"].value'}]},
            {"name": "phone", "attributes": [{"key": 'phoneNumbers[type eq "fax"].value'}, {"key": "name.familyName"}]},
            {"name": "nothing", "attributes": [{"key": "nickName"}]},
        ],
    )
    okta.assign(
        "ada@example.com",
        schemas=[USER_URN, ENTERPRISE, CUSTOM],
        **{ENTERPRISE: {"department": "Research"}, CUSTOM: {"department": "Engines"}},
    )
    assert metadata(administrator, "ada@example.com") == {
        "department": "Research",
        "custom_department": "Engines",
        "work": "ada@example.com",
        "phone": "Example",
    }


def test_an_administrator_picks_from_what_really_arrives(administrator: Administrator) -> None:
    """PRODUCT §3: "Every (namespace, key) ever received on the connection is recorded in its attribute history"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    okta.assign("ada@example.com", schemas=[USER_URN, CUSTOM], **{CUSTOM: {"costCentre": "CC-42"}})
    request = connections.ListAttributeHistoryRequest(connection_id=okta.connection.connection_id)
    sightings = stack.connections.ListAttributeHistory(request).sightings
    seen = {(sighting.namespace, sighting.key) for sighting in sightings}
    assert {(CUSTOM, "costCentre"), (USER_URN, "userName"), (USER_URN, "name.familyName")} <= seen
    assert not any("password" in key for _, key in seen)

    preview = connections.PreviewAttributeMappingRequest(
        connection_id=okta.connection.connection_id,
        user="ada@example.com",
        mapped_attributes=[
            connections.MappedAttribute(name="centre", attributes=[connections.AttributeSource(key="costCentre")])
        ],
    )
    assert json_format.MessageToDict(stack.connections.PreviewAttributeMapping(preview).metadata) == {"centre": "CC-42"}
    assert metadata(administrator, "ada@example.com") == {}


def test_a_mapping_with_a_repeated_name_is_refused(administrator: Administrator) -> None:
    """PRODUCT §3: a connection has an ordered list of mapped attributes, "names must be unique" (contract)."""
    connection = administrator.enable("dashboard")
    entry = connections.MappedAttribute(name="centre", attributes=[connections.AttributeSource(key="title")])
    with refused() as refusals:
        administrator.stack.connections.UpdateAttributeMapping(
            connections.UpdateAttributeMappingRequest(
                connection_id=connection.connection_id, mapped_attributes=[entry, entry]
            )
        )
    assert refusals[0].reason == "INVALID_VALUE"
    assert refusals[0].field == "mapped_attributes[1].name"
    assert "unique" in refusals[0].message
