"""One scenario on both servers: requests with placeholders for ids, and answers made comparable."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.edge import PATCH_URN
from tests.oracle.peers import Answer, Oracle, Rollcall

PLACEHOLDER = re.compile(r"<(user|group)-\d+>")
ABSENT_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Request:
    """A request; ids in the target and in the body are placeholders such as `<user-0>`."""

    method: str
    target: str
    body: Any = None

    @property
    def is_list(self) -> bool:
        """Whether the answer is a ListResponse."""
        return self.method == "GET" and self.target.partition("?")[0] in ("/Users", "/Groups")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the two answers to it, with placeholders for the ids and without what no two servers share."""

    request: Request
    ours: Answer
    theirs: Answer

    def __str__(self) -> str:
        def shown(answer: Answer) -> str:
            return f"{answer.status} {json.dumps(answer.body)}"

        sent = f"{self.request.method} {self.request.target} {json.dumps(self.request.body)}"
        return f"{sent}\n  Rollcall: {shown(self.ours)}\n  oracle:   {shown(self.theirs)}"


@dataclass
class Scenario:
    """The state of a comparison: both servers, and the ids that each gave to a resource."""

    ours: Rollcall
    theirs: Oracle
    ids: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Each placeholder with the id at Rollcall and at the oracle."""
    made: dict[str, int] = field(default_factory=lambda: {"user": 0, "group": 0})

    def of(self, kind: str) -> list[str]:
        """The placeholders of what is there of a kind."""
        return [name for name in self.ids if name.startswith(f"<{kind}-")]

    def exchange(self, request: Request) -> Exchange:
        """Send a request to both; a resource that both created gets a placeholder."""
        ours, theirs = (peer.send(*self._filled(request, side)) for side, peer in enumerate((self.ours, self.theirs)))
        if request.method == "POST" and ours.status == theirs.status == 201:
            kind = "user" if request.target.startswith("/Users") else "group"
            self.ids[f"<{kind}-{self.made[kind]}>"] = (ours.body["id"], theirs.body["id"])
            self.made[kind] += 1
        for answer in (ours, theirs):
            if answer.status == 201:
                assert answer.headers["location"] == answer.body["meta"]["location"], "RFC 7644 §3.3"
        return Exchange(request, self._comparable(ours, 0), self._comparable(theirs, 1))

    def forget(self, placeholder: str) -> None:
        """Delete a resource on both, whatever they say."""
        for side, peer in enumerate((self.ours, self.theirs)):
            resource_id = self.ids[placeholder][side]
            if placeholder.startswith("<user"):
                # Nothing tells a server to end the memberships of a user that is gone: they are ended first.
                leave = {"op": "remove", "path": f'members[value eq "{resource_id}"]'}
                for group in self.of("group"):
                    body = {"schemas": [PATCH_URN], "Operations": [leave]}
                    peer.send("PATCH", f"/Groups/{self.ids[group][side]}", body)
            peer.send("DELETE", f"/{'Users' if placeholder.startswith('<user') else 'Groups'}/{resource_id}")
        del self.ids[placeholder]

    def _filled(self, request: Request, side: int) -> tuple[str, str, Any]:
        def fill(text: str) -> str:
            return PLACEHOLDER.sub(lambda found: self.ids.get(found[0], (ABSENT_ID, ABSENT_ID))[side], text)

        body = None if request.body is None else json.loads(fill(json.dumps(request.body)))
        return request.method, fill(request.target), body

    def _comparable(self, answer: Answer, side: int) -> Answer:
        """Put placeholders for ids, and drop the base URL, times, versions and the words of an error."""
        text = json.dumps(answer.body).replace((self.ours, self.theirs)[side].base_url, "")
        for placeholder, ids in self.ids.items():
            text = text.replace(ids[side], placeholder)
        body = json.loads(text)
        for resource in (body or {}).get("Resources", [body]) if isinstance(body, dict) else []:
            for name in ("created", "lastModified", "version"):
                resource.get("meta", {}).pop(name, None)
            resource.pop("detail", None)
            if "schemas" in resource:
                resource["schemas"].sort()
        return Answer(answer.status, answer.headers, body)


def rendered(answer: Answer, change: Any) -> Answer:
    """An answer whose resources have been changed by a function of the resource."""
    body = copy.deepcopy(answer.body)
    if isinstance(body, dict) and answer.status < 300:
        for resource in body.get("Resources", [body]):
            change(resource)
    return Answer(answer.status, answer.headers, body)
