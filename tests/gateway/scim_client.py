"""An identity provider in tests: SCIM requests by a token, and what every answer must be like."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.gateway.edge import GROUP_URN, PATCH_URN, SCIM, USER_URN, bearer


class Scim:
    """A client of one connection; it looks at every answer for what must hold of any."""

    def __init__(self, client: httpx.AsyncClient, connection_id: str, token: str) -> None:
        self.http = client
        self.connection_id = connection_id
        self.base = f"/scim/v2/{connection_id}"
        self.headers = {**bearer(token), "Accept": SCIM}

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request; `headers` are given with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body).encode()
        media_type = {} if body is None else {"Content-Type": f"{SCIM}; charset=utf-8"}
        response = await self.http.request(
            method, self.base + path, content=content, headers={**self.headers, **media_type, **named}
        )
        assert response.headers["x-request-id"]
        assert response.status_code < 500 or response.status_code == 501, response.text
        if response.content:
            assert response.headers["content-type"] == SCIM
            assert response.json()["schemas"]
        return response

    async def get(self, path: str, **headers: str) -> Any:
        """GET what must be there."""
        response = await self.send("GET", path, **headers)
        assert response.status_code == 200, response.text
        return response.json()

    async def create_user(self, user_name: str = "ada@example.com", **attributes: Any) -> Any:
        """POST a user that must be created."""
        response = await self.send("POST", "/Users", {"schemas": [USER_URN], "userName": user_name, **attributes})
        assert response.status_code == 201, response.text
        return response.json()

    async def create_group(self, display_name: str = "Team", *members: str) -> Any:
        """POST a group that must be created."""
        body = {"schemas": [GROUP_URN], "displayName": display_name, "members": [{"value": m} for m in members]}
        response = await self.send("POST", "/Groups", body)
        assert response.status_code == 201, response.text
        return response.json()

    async def patch(self, path: str, *operations: dict[str, Any], **headers: str) -> httpx.Response:
        """PATCH with operations."""
        return await self.send("PATCH", path, {"schemas": [PATCH_URN], "Operations": list(operations)}, **headers)

    async def members(self, group_id: str) -> list[str]:
        """The member values of a group."""
        return [member["value"] for member in (await self.get(f"/Groups/{group_id}"))["members"]]

    async def user_names(self, query: str = "") -> list[str]:
        """The userNames on a page."""
        return [user["userName"] for user in (await self.get(f"/Users{query}"))["Resources"]]
