"""An Okta app as the journeys see it: it assigns people, pushes groups, and asks in the way Okta asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from tests.stack import Connection, Stack

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
HEADERS = {
    "User-Agent": "Okta SCIM Client 1.0.0",
    "Accept": "application/scim+json",
    "Content-Type": "application/scim+json; charset=utf-8",
}


class OktaApp:
    """One app of an Okta organisation, pushing to one connection."""

    def __init__(self, stack: Stack, connection: Connection) -> None:
        self.connection = connection
        self.http: httpx.Client = stack.scim(connection, headers=HEADERS)

    def use(self, token: str) -> None:
        """Present another token from now on, as after a rotation."""
        self.http.headers["Authorization"] = f"Bearer {token}"

    def find(self, user_name: str) -> dict[str, Any] | None:
        """The user that Okta's lookup finds, or None."""
        answer = self._ok(self.http.get("/Users", params={"filter": f'userName eq "{user_name}"', "count": "100"}))
        resources = answer["Resources"] if answer["totalResults"] else []
        return resources[0] if resources else None

    def assign(self, email: str, **attributes: Any) -> str:
        """Assign a person: look up, create when nobody is found, else read and replace. Returns the user's id."""
        found = self.find(email)
        if found is not None:
            self.update(found["id"], active=True, **attributes)
            return str(found["id"])
        local = email.partition("@")[0]
        profile = {
            "schemas": [USER_URN],
            "userName": email,
            "name": {"givenName": local.capitalize(), "familyName": "Example"},
            "emails": [{"primary": True, "value": email, "type": "work"}],
            "displayName": f"{local.capitalize()} Example",
            "locale": "en-US",
            "externalId": f"00u{local}",
            "groups": [],
            "password": "8YtKqzP1",
            "active": True,
            **attributes,
        }
        return str(self._ok(self.http.post("/Users", json=profile), 201)["id"])

    def user(self, user_id: str) -> dict[str, Any]:
        """Read a user."""
        return self._ok(self.http.get(f"/Users/{user_id}"))

    def update(self, user_id: str, **changes: Any) -> dict[str, Any]:
        """Read a user and replace it with some attributes changed."""
        return self._ok(self.http.put(f"/Users/{user_id}", json={**self.user(user_id), **changes}))

    def deactivate(self, user_id: str) -> None:
        """Take the app away from a person."""
        assert self.update(user_id, active=False)["active"] is False

    def reactivate(self, user_id: str) -> None:
        """Give the app back to a person."""
        assert self.update(user_id, active=True)["active"] is True

    def delete_user(self, user_id: str) -> None:
        """Delete a user, which Okta never does and others do."""
        assert self.http.delete(f"/Users/{user_id}").status_code == 204

    def push_group(self, name: str, members: Iterable[str] = ()) -> str:
        """Push a group: look up, create empty, then replace it with its members. Returns the group's id."""
        query = {"filter": f'displayName eq "{name}"', "startIndex": "1", "count": "100"}
        assert self._ok(self.http.get("/Groups", params=query))["totalResults"] == 0
        body = {"schemas": [GROUP_URN], "displayName": name, "members": []}
        group_id = str(self._ok(self.http.post("/Groups", json=body), 201)["id"])
        self.set_group(group_id, name, members)
        return group_id

    def set_group(self, group_id: str, name: str, members: Iterable[str]) -> dict[str, Any]:
        """Replace a group's name and whole membership."""
        body = {
            "schemas": [GROUP_URN],
            "id": group_id,
            "displayName": name,
            "members": [{"value": member} for member in members],
        }
        return self._ok(self.http.put(f"/Groups/{group_id}", json=body))

    def group(self, group_id: str) -> dict[str, Any]:
        """Read a group with its members."""
        return self._ok(self.http.get(f"/Groups/{group_id}"))

    def change_members(self, group_id: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove members in one PATCH, as a catalogue app does."""
        operations: list[Mapping[str, Any]] = [
            {"op": "remove", "path": f'members[value eq "{member}"]'} for member in remove
        ]
        if added := [{"value": member} for member in add]:
            operations.append({"op": "add", "path": "members", "value": added})
        answer = self.http.patch(f"/Groups/{group_id}", json={"schemas": [PATCH_URN], "Operations": operations})
        assert answer.status_code in (200, 204), answer.text

    def rename_group(self, group_id: str, name: str) -> None:
        """Rename a group with a PATCH that mentions no members."""
        operations = [{"op": "replace", "value": {"id": group_id, "displayName": name}}]
        answer = self.http.patch(f"/Groups/{group_id}", json={"schemas": [PATCH_URN], "Operations": operations})
        assert answer.status_code in (200, 204), answer.text

    def delete_group(self, group_id: str) -> None:
        """Unlink a pushed group and delete it here."""
        assert self.http.delete(f"/Groups/{group_id}").status_code == 204

    @staticmethod
    def _ok(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
        assert answer.status_code == status, f"{answer.request.method} {answer.request.url}: {answer.text}"
        body: dict[str, Any] = answer.json()
        return body
