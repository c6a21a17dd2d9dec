"""The end of a connection and of a workspace, and what never leaves the databases."""

from __future__ import annotations

import asyncio

import grpc
import nats
from nats.js.errors import NotFoundError
from rollcall.directory.v1 import connection_service_pb2 as connections

from tests.stack import Stack, refused
from tests.system.administrator import Administrator


def delete(stack: Stack, connection_id: str) -> None:
    """Delete a connection and wait until it is gone."""
    stack.connections.DeleteConnection(connections.DeleteConnectionRequest(connection_id=connection_id))

    def is_gone() -> bool:
        try:
            stack.connections.GetConnection(connections.GetConnectionRequest(connection_id=connection_id))
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.NOT_FOUND
        return False

    stack.eventually(is_gone, what="the end of the connection")


def test_a_deleted_connection_takes_its_users_and_groups_with_it(administrator: Administrator) -> None:
    """PRODUCT §1: "deleted (all its users and groups are deleted, in bounded chunks, with their events)"."""
    stack, okta, store = administrator.stack, administrator.dashboard_app(), administrator.store_app()
    users = [okta.assign(f"user{number}@example.com") for number in range(12)]
    okta.push_group("applivery-editor", users[:6])
    store.assign("user0@example.com")
    administrator.add_collaborator("ops@example.com", "ADMIN")
    assert administrator.role("user0@example.com") == ("EDITOR", "GROUP")

    delete(stack, okta.connection.connection_id)
    assert okta.http.get("/Users").status_code == 401
    for number in range(12):
        assert administrator.collaborator(f"user{number}@example.com") is None
    removed = administrator.effects(action="REMOVE_COLLABORATOR", outcome="APPLIED")
    assert sorted(effect.user_id for effect in removed) == sorted(users)
    assert administrator.role("ops@example.com") == ("ADMIN", "MANUAL")
    assert administrator.store_employee("user0@example.com") is not None

    again = administrator.dashboard_app()
    assert again.connection.connection_id != okta.connection.connection_id
    assert again.find("user0@example.com") is None


def test_a_portal_has_one_enabled_connection_at_a_time(administrator: Administrator) -> None:
    """PRODUCT §1: "at most one enabled connection per workspace and portal"."""
    stack = administrator.stack
    first = administrator.enable("store")
    stack.connections.DisableConnection(connections.DisableConnectionRequest(connection_id=first.connection_id))
    administrator.enable("store")
    with refused() as refusals:
        stack.connections.EnableConnection(connections.EnableConnectionRequest(connection_id=first.connection_id))
    assert refusals[0].reason == "PORTAL_ALREADY_CONNECTED"


def test_a_base_url_is_one_that_okta_takes(administrator: Administrator) -> None:
    """PRODUCT §1: "ids are UUIDs; an Okta base URL may not contain `_`"."""
    connection = administrator.enable("dashboard")
    assert connection.base_url == f"{administrator.stack.public_url}/scim/v2/{connection.connection_id}"
    assert "_" not in connection.base_url


def test_subjects_headers_and_logs_carry_ids_and_no_personal_data(administrator: Administrator) -> None:
    """DELIVERY: "No personal data in subjects or headers: ids only"; invariant 9: "no personal data in … logs"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    canary = "zephyrine"
    ada = okta.assign(f"{canary}@example.com", displayName=canary.capitalize(), externalId=f"00u{canary}")
    okta.push_group(f"{canary} fans", [ada])
    okta.update(ada, nickName=canary)
    assert okta.http.post("/Users", json={"userName": f"{canary}@example.com"}).status_code == 409
    assert okta.http.get("/Users", params={"filter": f'userName is "{canary}"'}).status_code == 400
    okta.deactivate(ada)
    stack.settled()

    async def published() -> list[str]:
        client = await nats.connect(stack.nats_url)
        try:
            stream, found, sequence = client.jetstream(), [], 0
            subject = f"directory.v1.*.*.*.*.{okta.connection.connection_id}.*"
            while True:
                try:
                    message = await stream.get_msg("DIRECTORY", seq=sequence + 1, subject=subject, next=True)
                except NotFoundError:
                    return found
                assert message.seq is not None
                sequence = message.seq
                found.append(f"{message.subject} {message.headers}")
        finally:
            await client.close()

    texts = asyncio.run(published())
    assert len(texts) == stack.events(okta.connection)
    for text in texts:
        assert canary not in text.lower()
    for process in stack.processes:
        assert canary not in stack.log(process, limit=10_000_000).lower()
