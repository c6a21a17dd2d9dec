"""The same random requests to Rollcall and to scim2-server, an independent server, give the same answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.fuzz.server import InProcess
from tests.gateway.edge import ENTERPRISE_URN, GROUP_URN, PATCH_URN, USER_URN
from tests.oracle.comparison import Exchange, Request, Scenario, rendered
from tests.oracle.differences import DIFFERENCES, RENDERINGS, Difference, Rendering, patch
from tests.oracle.peers import Answer, Oracle, Rollcall


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    started = InProcess(tmp_path_factory.mktemp("oracle"))
    yield started
    started.close()


def comparable(exchange: Exchange, renderings: tuple[Rendering, ...] = RENDERINGS) -> tuple[Answer, Answer]:
    """Both answers in the form in which they must be equal."""
    ours, theirs = exchange.ours, exchange.theirs
    for rendering in renderings:
        ours, theirs = rendered(ours, rendering.ours), rendered(theirs, rendering.theirs)
    if exchange.request.is_list and "count" not in exchange.request.target:
        # RFC 7644 §3.4.2.3: without sortBy the order is the server's own, and so is that of equal values.
        _, _, path = exchange.request.target.partition("sortBy=")
        for answer in (ours, theirs):
            if isinstance(answer.body, dict) and "Resources" in answer.body:
                answer.body["Resources"] = _ties_by_id(answer.body["Resources"], path.partition("&")[0])
    return ours, theirs


def _ties_by_id(resources: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    def value(resource: dict[str, Any]) -> str:
        found: Any = resource
        for name in filter(None, path.split(".")):
            found = found.get(name, {})
        return found.casefold() if path and isinstance(found, str) else ""

    runs = (sorted(run, key=lambda resource: resource["id"]) for _, run in itertools.groupby(resources, value))
    return [resource for run in runs for resource in run]


def disagreement(exchange: Exchange, renderings: tuple[Rendering, ...] = RENDERINGS) -> str | None:
    """What differs, or None."""
    ours, theirs = comparable(exchange, renderings)
    if exchange.request.method == "PATCH" and ours.status in (200, 204) and theirs.status in (200, 204):
        return None  # RFC 7644 §3.5.2: either 200 with the resource or 204; the resource is compared by reading it
    if ours.status != theirs.status:
        return f"the statuses differ: {exchange}"
    if ours.body != theirs.body:
        return f"the bodies differ: {exchange}"
    return None


user_names = st.sampled_from(["ada@x.example", "Ada@X.example", "bob@x.example", "Bob", "cyd", "ÜB@x.example", "dee"])
words = st.sampled_from(["a", "B", "ab", "Ab", "z"])
EMAILS: list[list[dict[str, Any]]] = [
    [{"value": "a@x.example", "type": "work"}],
    [{"value": "A@x.example", "type": "work", "primary": True}],
    [{"value": "b@y.example", "type": "home", "primary": False}],
    [{"value": "a@x.example", "type": "work", "primary": True}, {"value": "b@y.example", "type": "home"}],
    [{"value": "b@y.example", "type": "work"}, {"value": "b@y.example", "type": "home", "primary": True}],
]
emails = st.sampled_from(EMAILS)
names = st.dictionaries(st.sampled_from(["givenName", "familyName", "formatted"]), words, min_size=1, max_size=2)
enterprise = st.dictionaries(st.sampled_from(["department", "employeeNumber", "costCenter"]), words, min_size=1)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "externalId": words,
        "displayName": words,
        "title": words,
        "nickName": words,
        "active": st.booleans(),
        "name": names,
        "emails": emails,
        ENTERPRISE_URN: enterprise,
    },
)
user_operations = st.one_of(
    st.builds(
        lambda op, path, value: {"op": op, "path": path, "value": value},
        st.sampled_from(["add", "replace", "Replace"]),
        st.sampled_from(
            ["title", "nickName", "displayName", "name.givenName", f"{ENTERPRISE_URN}:department", "TITLE"]
        ),
        words,
    ),
    st.builds(
        lambda op, value: {"op": op, "value": value}, st.sampled_from(["add", "replace"]), attributes.filter(bool)
    ),
    st.builds(lambda value: {"op": "replace", "path": "active", "value": value}, st.booleans()),
    st.builds(
        lambda path: {"op": "remove", "path": path},
        st.sampled_from(
            ["title", "nickName", "name", "name.givenName", "emails", "externalId", "userName", "id", "nope"]
        ),
    ),
    st.builds(lambda value: {"op": "add", "path": "emails", "value": value}, emails),
    st.builds(lambda value: {"op": "replace", "path": "emails", "value": value}, emails),
    st.builds(
        lambda kind, value: {"op": "replace", "path": f'emails[type eq "{kind}"].value', "value": value},
        st.sampled_from(["work", "home"]),
        st.sampled_from(["c@x.example", "d@x.example"]),
    ),
    st.builds(lambda kind: {"op": "remove", "path": f'emails[type eq "{kind}"]'}, st.sampled_from(["work", "home"])),
    st.sampled_from(
        [
            {"op": "remove"},
            {"op": "replace", "path": "id", "value": "x"},
            {"op": "replace", "path": "nope", "value": "x"},
            {"op": "replace", "path": "title", "value": 5},
            {"op": "replace", "path": "emails[", "value": "x"},
            {"op": "move", "path": "title", "value": "x"},
        ]
    ),
)
comparisons = st.one_of(
    st.builds(
        lambda path, op, value: f'{path} {op} "{value}"',
        st.sampled_from(
            ["userName", "title", "name.givenName", "displayName", "USERNAME", f"{ENTERPRISE_URN}:department"]
        ),
        st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "Eq"]),
        st.one_of(words, user_names),
    ),
    st.builds(lambda op, value: f'externalId {op} "{value}"', st.sampled_from(["eq", "sw"]), words),
    st.builds(
        lambda path: f"{path} pr",
        st.sampled_from(
            ["title", "name", "name.givenName", "emails", "externalId", "userName", ENTERPRISE_URN + ":department"]
        ),
    ),
    st.builds(
        lambda kind, value: f'emails[type eq "{kind}" and value co "{value}"]', st.sampled_from(["work", "home"]), words
    ),
    st.builds(lambda op, value: f'emails.value {op} "{value}"', st.sampled_from(["eq", "co", "sw"]), words),
    st.sampled_from(["active eq false", 'nope eq "x"', "userName eq", 'userName xx "a"', "active gt true"]),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(lambda a, op, b: f"({a}) {op} ({b})", inner, st.sampled_from(["and", "or"]), inner),
        st.builds(lambda a, b, c: f"{a} or {b} and {c}", comparisons, comparisons, comparisons),
        inner.map(lambda term: f"not ({term})"),
    ),
    max_leaves=3,
)
pick = st.integers(0, 9)


class Comparison(RuleBasedStateMachine):
    """Users and groups through their lives on both servers at once; after each write what is there is compared."""

    server: InProcess

    def __init__(self) -> None:
        super().__init__()
        self.scenario = Scenario(Rollcall(self.server), Oracle())

    def choose(self, kind: str, number: int) -> str:
        there = self.scenario.of(kind)
        # Now and then one that is not there.
        return there[number % len(there)] if there and number != 9 else f"<{kind}-99>"

    def check(self, request: Request, subject: str | None = None) -> None:
        """Send a request to both and compare; after a write, compare what is there then as well."""
        exchange = self.scenario.exchange(request)
        if self.agree(exchange, subject) and subject in self.scenario.ids and request.method in ("PUT", "PATCH"):
            kind = "Users" if str(subject).startswith("<user") else "Groups"
            self.agree(self.scenario.exchange(Request("GET", f"/{kind}/{subject}")), subject, f" after {exchange}")

    def agree(self, exchange: Exchange, subject: str | None, where: str = "") -> bool:
        """Tell whether the answers agree; a difference that is allowed ends the life of its subject on both."""
        found = disagreement(exchange)
        if found is None:
            return True
        assert any(difference.holds(exchange) for difference in DIFFERENCES), found + where
        self.resolve(exchange, subject)
        return False

    def resolve(self, exchange: Exchange, subject: str | None) -> None:
        if subject is not None and subject in self.scenario.ids:
            self.scenario.forget(subject)
        for answer, peer in ((exchange.ours, self.scenario.ours), (exchange.theirs, self.scenario.theirs)):
            if exchange.request.method == "POST" and answer.status == 201:
                peer.send("DELETE", f"{exchange.request.target}/{answer.body['id']}")

    @initialize()
    def start(self) -> None:
        self.check(Request("POST", "/Users", {"schemas": [USER_URN], "userName": "first@x.example", "title": "a"}))
        self.check(Request("POST", "/Groups", {"schemas": [GROUP_URN], "displayName": "First", "members": []}))

    @rule(user_name=user_names, body=attributes)
    def create_user(self, user_name: str, body: dict[str, Any]) -> None:
        self.check(Request("POST", "/Users", {**self.user_body(body), "userName": user_name}))

    @rule(number=pick, user_name=user_names, body=attributes)
    def replace_user(self, number: int, user_name: str, body: dict[str, Any]) -> None:
        subject = self.choose("user", number)
        # WIRE: "absent `members` and `active` keep their value", so it is sent.
        body = {"active": True, **body}
        self.check(Request("PUT", f"/Users/{subject}", {**self.user_body(body), "userName": user_name}), subject)

    @staticmethod
    def user_body(body: dict[str, Any]) -> dict[str, Any]:
        return {"schemas": [USER_URN, *([ENTERPRISE_URN] if ENTERPRISE_URN in body else [])], **body}

    @rule(number=pick, operations=st.lists(user_operations, min_size=1, max_size=3))
    def patch_user(self, number: int, operations: list[dict[str, Any]]) -> None:
        subject = self.choose("user", number)
        self.check(patch(f"/Users/{subject}", *operations), subject)

    @rule(
        kind=st.sampled_from(["user", "group"]),
        number=pick,
        query=st.sampled_from(["", "attributes", "excludedAttributes"]),
    )
    def read(self, kind: str, number: int, query: str) -> None:
        names = "?" + query + "=displayName,name.givenName,members" if query else ""
        if kind == "group":
            names = names.replace("name.givenName,", "")
        self.check(Request("GET", f"/{kind.capitalize()}s/{self.choose(kind, number)}{names}"))

    @rule(kind=st.sampled_from(["user", "user", "group"]), number=pick)
    def delete(self, kind: str, number: int) -> None:
        subject = self.choose(kind, number)
        if kind == "user":
            # As in `forget`, but compared.
            self.leave_all(subject)
        self.check(Request("DELETE", f"/{kind.capitalize()}s/{subject}"))
        self.scenario.ids.pop(subject, None)

    def leave_all(self, subject: str) -> None:
        for group in self.scenario.of("group"):
            request = patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{subject}"]'})
            self.check(request, group)

    @rule(name=st.sampled_from(["Team", "Crew", "Gang", "Club"]), numbers=st.lists(pick, max_size=3))
    def create_group(self, name: str, numbers: list[int]) -> None:
        self.check(Request("POST", "/Groups", self.group_body(name, numbers)))

    @rule(number=pick, name=st.sampled_from(["Team", "Crew", "Gang", "Club"]), numbers=st.lists(pick, max_size=3))
    def replace_group(self, number: int, name: str, numbers: list[int]) -> None:
        subject = self.choose("group", number)
        self.check(Request("PUT", f"/Groups/{subject}", self.group_body(name, numbers)), subject)

    def members(self, numbers: list[int]) -> list[dict[str, Any]]:
        there = self.scenario.of("user")
        return [{"value": value} for value in dict.fromkeys(there[number % len(there)] for number in numbers if there)]

    def group_body(self, name: str, numbers: list[int]) -> dict[str, Any]:
        return {"schemas": [GROUP_URN], "displayName": name, "members": self.members(numbers)}

    @rule(
        number=pick,
        how=st.sampled_from(["add", "replace", "remove", "remove all", "pathless", "rename"]),
        numbers=st.lists(pick, min_size=1, max_size=3),
    )
    def patch_group(self, number: int, how: str, numbers: list[int]) -> None:
        subject = self.choose("group", number)
        members = self.members(numbers)
        if not members:
            return
        operation: dict[str, Any] = {
            "add": {"op": "add", "path": "members", "value": members},
            "replace": {"op": "replace", "path": "members", "value": members},
            "remove": {"op": "remove", "path": f'members[value eq "{members[0]["value"]}"]'},
            "remove all": {"op": "remove", "path": "members"},
            "pathless": {"op": "add", "value": {"members": members}},
            "rename": {"op": "replace", "path": "displayName", "value": f"Team {numbers[0]}"},
        }[how]
        self.check(patch(f"/Groups/{subject}", operation), subject)

    @rule(text=filters)
    def find(self, text: str) -> None:
        self.check(Request("GET", f"/Users?filter={quote(text)}"))

    @rule(
        start=st.sampled_from([-1, 0, 1, 2, 5]),
        count=st.sampled_from([-1, 0, 1, 2, 100]),
        order=st.sampled_from(["ascending", "descending"]),
    )
    def page(self, start: int, count: int, order: str) -> None:
        self.check(Request("GET", f"/Users?startIndex={start}&count={count}&sortBy=userName&sortOrder={order}"))

    @rule(
        path=st.sampled_from(["title", "name.givenName", "displayName"]),
        order=st.sampled_from(["", "&sortOrder=ascending", "&sortOrder=descending"]),
    )
    def sort(self, path: str, order: str) -> None:
        self.check(Request("GET", f"/Users?sortBy={path}{order}"))

    @rule(path=st.sampled_from(["/Users", "/Groups"]))
    def count(self, path: str) -> None:
        self.check(Request("GET", path))


@pytest.mark.timeout(300)
def test_random_requests_are_answered_as_by_an_independent_server(server: InProcess) -> None:
    """The same random requests go to Rollcall and to `scim2-server`, which is the oracle."""

    class OnServer(Comparison):
        pass

    OnServer.server = server
    run_state_machine_as_test(
        OnServer,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            # The steps of a failure tell enough; to shrink them would take minutes.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_an_allowed_difference_is_there_and_has_a_section(server: InProcess, difference: Difference) -> None:
    """Each allowed difference is listed and justified by the RFC; one that is gone is struck off."""
    scenario = Scenario(Rollcall(server), Oracle())
    *before, last = difference.witness
    for request in before:
        assert disagreement(scenario.exchange(request)) is None
    exchange = scenario.exchange(last)
    assert disagreement(exchange) is not None, f"no difference: {exchange}"
    assert difference.holds(exchange), exchange
    assert difference.section.startswith(("RFC 7643 §", "RFC 7644 §", "RFC 9865 §"))


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda rendering: rendering.name)
def test_an_allowed_rendering_is_needed_and_has_a_section(server: InProcess, rendering: Rendering) -> None:
    """Each allowed difference is listed and justified by the RFC; one that is gone is struck off."""
    scenario = Scenario(Rollcall(server), Oracle())
    *before, last = rendering.witness
    for request in before:
        assert disagreement(scenario.exchange(request)) is None
    exchange = scenario.exchange(last)
    assert disagreement(exchange) is None
    others = tuple(other for other in RENDERINGS if other is not rendering)
    assert disagreement(exchange, others) is not None, f"no difference: {exchange}"
    assert rendering.section.startswith(("RFC 7643 §", "RFC 7644 §", "RFC 9865 §"))


def test_the_comparison_notices_a_difference(server: InProcess) -> None:
    """An answer that differs in status or in an attribute is no agreement."""
    request = Request("GET", "/Users/<user-0>")
    good = Answer(200, {}, {"id": "<user-0>", "title": "a"})
    for other in (
        Answer(404, {}, None),
        Answer(200, {}, {"id": "<user-0>", "title": "b"}),
        Answer(200, {}, {"id": "x"}),
    ):
        assert disagreement(Exchange(request, good, other)) is not None
    assert PATCH_URN in patch("/Users/1", {"op": "remove", "path": "title"}).body["schemas"]
