"""Filters and sorts as SQL: the same result as `scim.filter.evaluate`, and by index where it matters."""

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chassis import migrations
from chassis.database import Transaction, create_engine
from directory_service.domain.parking import Named
from directory_service.query import Scope, compile_filter, compile_member_filter, compile_sort
from directory_service.repository import connections, groups, users
from directory_service.repository.groups import GROUP_COLUMNS, GroupState
from directory_service.repository.listing import Last, Listing, count_rows, list_rows
from directory_service.repository.users import USER_COLUMNS
from directory_service.repository.values import bind_values
from directory_service.tables import KIND_GROUP, KIND_USER, MIGRATIONS
from scim.errors import InvalidFilter
from scim.filter import (
    And,
    Comparison,
    Filter,
    Not,
    Or,
    Present,
    ValuePath,
    check,
    check_element_filter,
    evaluate,
    matches_element,
    parse_filter,
    print_filter,
)
from scim.schemas import GROUP, MEMBERS, USER, ResourceType, parse_attribute_path, schemas_of
from scim.values import normalize

LOCATION = "https://scim.example.com/scim/v2/c"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CUSTOM = "urn:custom:X.1:user"
IDS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(8)]

# Few and confusable: letters that fold to two, wildcards, quotes, what looks like another type.
WORDS = ["a", "A", "b", "ab", "aB", "ß", "SS", "É", "é", "ſ", "\u0130", "\u0130x", "ŉ", "ᾈ", "1", "true", '"', "%", "_",
         "\\", "'", ":f0", "a b", "", "😀", "Ω", "user", "work", "home"]  # fmt: skip
words = st.sampled_from(WORDS)
numbers = st.sampled_from([0, 1, -1, 2.5, 1e22, 0.1, 0.30000000000000004, 2**53 + 1, 10])
scalars = st.one_of(st.none(), st.booleans(), words, numbers)
undeclared = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["value", "Value", "sub", "other"]), inner, max_size=2),
    ),
    max_leaves=5,
)
elements = st.fixed_dictionaries(
    {}, optional={"value": words, "type": words, "display": words, "primary": st.booleans()}
)
user_bodies = st.fixed_dictionaries(
    {},
    optional={
        "externalId": words,
        "active": st.booleans(),
        "title": words,
        "displayName": words,
        "profileUrl": words,
        "name": st.fixed_dictionaries({}, optional={"familyName": words, "givenName": words}),
        "emails": st.lists(elements, max_size=3),
        "photos": st.lists(elements, max_size=2),
        "addresses": st.lists(st.fixed_dictionaries({}, optional={"locality": words, "type": words}), max_size=2),
        ENTERPRISE: st.fixed_dictionaries(
            {},
            optional={
                "department": words,
                "manager": st.fixed_dictionaries(
                    {}, optional={"value": st.one_of(words, st.sampled_from(IDS[:3])), "$ref": words}
                ),
                "custom": undeclared,
            },
        ),
        CUSTOM: st.fixed_dictionaries({}, optional={"badge": undeclared, "Tags": undeclared}),
    },
)

USER_PATHS = [
    "userName", "username", "externalId", "id", "active", "title", "displayName", "profileUrl", "name.familyName",
    "name", "emails", "emails.value", "emails.type", "emails.primary", "email", "photos.value", "photos.display",
    "addresses.locality", "addresses", "schemas", "groups", "groups.value", "groups.display", "groups.type",
    "groups.$ref", "meta.created", "meta.lastModified", "meta.version", "meta.resourceType", "meta.location", "meta",
    "urn:ietf:params:scim:schemas:core:2.0:User:userName", f"{ENTERPRISE}:department", f"{ENTERPRISE}:manager",
    f"{ENTERPRISE}:manager.value", f"{ENTERPRISE}:manager.$ref", f"{ENTERPRISE}:manager.displayName",
    f"{ENTERPRISE}:custom", f"{ENTERPRISE}:custom.sub",
    ENTERPRISE, f"{CUSTOM}:badge", f"{CUSTOM.upper()}:BADGE", f"{CUSTOM}:badge.sub", f"{CUSTOM}:badge.value",
    f"{CUSTOM}:tags", "urn:never:seen:x", "password",
]  # fmt: skip
GROUP_PATHS = [
    "displayName", "displayname", "externalId", "id", "members", "members.value", "members.type", "members.display",
    "members.$ref", "meta.lastModified", "meta.version", "meta.location", "schemas", f"{CUSTOM}:badge",
    f"{CUSTOM}:badge.sub",
]  # fmt: skip
VALUE_PATHS = {
    USER: {
        "emails": ["value", "type", "primary", "display"],
        "addresses": ["locality", "type"],
        "groups": ["value", "display", "type", "$ref"],
        "name": ["familyName", "givenName"],
        "meta": ["created", "version"],
        f"{ENTERPRISE}:manager": ["value", "$ref", "displayName"],
        f"{CUSTOM}:badge": ["value", "sub", "value.sub", "sub.other"],
        CUSTOM: ["badge", "tags.value"],
    },
    GROUP: {"members": ["value", "type", "display", "$ref"], f"{CUSTOM}:badge": ["value", "sub"]},
}
OPERATORS = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
literals = st.one_of(
    words,
    numbers,
    st.booleans(),
    st.none(),
    st.sampled_from(
        [*IDS[:5], "True", "direct", "indirect", "Group", "User", 'W/"1"', f"{LOCATION}/Users/{IDS[0]}", f"{LOCATION}/",
         f"{LOCATION}/Groups/{IDS[6]}", CUSTOM, "urn:", "1970-01-01T00:00:01Z", "1970-01-01T02:00:02.001+02:00",
         "1970-01-01T00:00:01.0005Z", "u0", "U1", "G0"]
    ),
)  # fmt: skip


def leaves(paths: list[str]) -> st.SearchStrategy[Filter]:
    path = st.sampled_from(paths).map(parse_attribute_path)
    return st.one_of(st.builds(Comparison, path, st.sampled_from(OPERATORS), literals), st.builds(Present, path))


def trees(leaf: st.SearchStrategy[Filter], size: int) -> st.SearchStrategy[Filter]:
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=2, max_size=2).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=2).map(tuple)),
        ),
        max_leaves=size,
    )


def filters(resource_type: ResourceType) -> st.SearchStrategy[Filter]:
    value_paths = st.one_of(
        *(
            st.builds(ValuePath, st.just(parse_attribute_path(path)), trees(leaves(subs), 3))
            for path, subs in VALUE_PATHS[resource_type].items()
        )
    )

    def usable(term: Filter) -> bool:
        try:
            check(term, resource_type)
        except InvalidFilter:
            return False
        return True

    paths = USER_PATHS if resource_type is USER else GROUP_PATHS
    leaf = st.one_of(leaves(paths), leaves(paths), value_paths)
    return trees(leaf.filter(usable), 4)


@st.composite
def directories(draw: st.DrawFn) -> dict[str, Any]:
    """A few users and groups, with memberships that never go round in a circle."""
    bodies = draw(st.lists(user_bodies, min_size=1, max_size=3))
    group_bodies = draw(
        st.lists(
            st.fixed_dictionaries(
                {}, optional={"externalId": words, CUSTOM: st.fixed_dictionaries({"badge": undeclared})}
            ),
            max_size=3,
        )
    )
    rows: dict[str, Any] = {"users": [], "groups": [], "displays": {}}
    for number, body in enumerate(bodies):
        prefix = draw(st.sampled_from(["u", "U", "ß", "%"]))
        rows["users"].append((IDS[number], normalize(USER, {"userName": f"{prefix}{number}", **body})))
    for number, body in enumerate(group_bodies):
        members = [IDS[i] for i in range(len(bodies)) if draw(st.booleans())]
        members += [IDS[5 + i] for i in range(number + 1, len(group_bodies)) if draw(st.booleans())]
        rows["groups"].append((IDS[5 + number], normalize(GROUP, {"displayName": f"G{number}", **body}), members))
        rows["displays"] |= {(IDS[5 + number], member): draw(words) for member in members if draw(st.booleans())}
    return rows


@pytest.fixture(scope="module")
def engine(shared_url: str) -> Iterator[sa.Engine]:
    opened = create_engine(shared_url, "test", purpose="write")
    yield opened
    opened.dispose()


def fill(tx: Transaction, rows: dict[str, Any]) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """Store a directory; return its connection, and users and groups as SCIM shows them."""
    connections.insert_workspace(tx, "w", name="w", slug="query-test", now_ms=0)
    connections.insert_connection(tx, "c", workspace_id="w", portal="MDM", display_name="c", now_ms=0)
    names = {user_id: document["userName"] for user_id, document in rows["users"]}
    names |= {group_id: document["displayName"] for group_id, document, _ in rows["groups"]}
    shown_users, shown_groups = [], []
    for number, (user_id, document) in enumerate(rows["users"]):
        users.insert_user(
            tx, "c", user_id=user_id, document=document, metadata={}, mapping_generation=1, now_ms=1000 + number * 500
        )
        memberships = []
        for group_id, group, members in rows["groups"]:
            if user_id in reach(group_id, rows):
                memberships.append(
                    {
                        "value": group_id,
                        "$ref": f"{LOCATION}/Groups/{group_id}",
                        "display": group["displayName"],
                        "type": "direct" if user_id in members else "indirect",
                    }
                )
        manager = with_manager(document, rows)
        shown_users.append(shown(USER, user_id, manager, 1000 + number * 500, groups=memberships))
    for group_id, document, members in rows["groups"]:
        state = GroupState(
            id=group_id, connection_id="c", document=document, member_count=0, last_member_position=0, version=1,
            created_ms=2000, updated_ms=2000,
        )  # fmt: skip
        groups.insert_group(tx, "c", state)
        displays = {member: rows.get("displays", {}).get((group_id, member), "") for member in members}
        named = [Named(m, KIND_GROUP if m >= IDS[5] else KIND_USER, names[m]).called(displays[m]) for m in members]
        groups.add_members(tx, "c", state, named)
        elements = [element(m, displays[m] or names[m]) for m in members]
        shown_groups.append(shown(GROUP, group_id, document, 2000, members=elements))
    return "c", shown_users, shown_groups


def reach(group_id: str, rows: dict[str, Any]) -> set[str]:
    """Everything below a group."""
    found: set[str] = set()
    for other, _, members in rows["groups"]:
        if other == group_id:
            for member in members:
                found |= {member} | reach(member, rows)
    return found


def with_manager(document: dict[str, Any], rows: dict[str, Any]) -> dict[str, Any]:
    """A document with what is shown of a manager who is a user of the connection."""
    manager = document.get(ENTERPRISE, {}).get("manager", {})
    named = [entry for entry in rows["users"] if entry[0] == manager.get("value")]
    named += [entry for entry in rows["users"] if entry[1].get("externalId", "") == manager.get("value")]
    if not named:
        return document
    user_id, found = named[0]
    computed = {"$ref": f"{LOCATION}/Users/{user_id}", **manager}
    if "displayName" in found:
        computed["displayName"] = found["displayName"]
    return {**document, ENTERPRISE: {**document[ENTERPRISE], "manager": computed}}


def element(member_id: str, display: str) -> dict[str, Any]:
    collection = "Groups" if member_id >= IDS[5] else "Users"
    return {
        "value": member_id,
        "$ref": f"{LOCATION}/{collection}/{member_id}",
        "type": collection[:-1],
        "display": display,
    }


def shown(
    resource_type: ResourceType, resource_id: str, document: dict[str, Any], ms: int, **computed: Any
) -> dict[str, Any]:
    moment = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        **document,
        "schemas": schemas_of(resource_type, document),
        "id": resource_id,
        "meta": {
            "resourceType": resource_type.name,
            "created": moment,
            "lastModified": moment,
            "location": f"{LOCATION}{resource_type.endpoint}/{resource_id}",
            "version": 'W/"1"',
        },
        **{name: value for name, value in computed.items() if value},
    }


def select_ids(tx: Transaction, resource_type: ResourceType, term: Filter) -> list[str]:
    condition = compile_filter(term, resource_type, Scope(tx.dialect, "c", LOCATION))
    listing = Listing(
        "users" if resource_type is USER else "groups",
        USER_COLUMNS if resource_type is USER else GROUP_COLUMNS,
        condition,
    )
    found = [row.id for row in list_rows(tx, "c", listing, after=None, skip=0, limit=100)]
    assert count_rows(tx, "c", listing) == len(found)
    return found


PROPERTY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PROPERTY
@given(directories(), filters(USER))
def test_sql_selects_the_users_that_the_definition_selects(
    engine: sa.Engine, rows: dict[str, Any], term: Filter
) -> None:
    """The rule of `scim.filter`: "the directory compiles the same tree to SQL and must agree with `evaluate`"."""
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        _, resources, _ = fill(tx, rows)
        expected = [resource["id"] for resource in resources if evaluate(term, resource, USER)]
        assert select_ids(tx, USER, term) == expected, print_filter(term)
        transaction.rollback()


@PROPERTY
@given(directories(), filters(GROUP))
def test_sql_selects_the_groups_that_the_definition_selects(
    engine: sa.Engine, rows: dict[str, Any], term: Filter
) -> None:
    """As for users."""
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        _, _, resources = fill(tx, rows)
        expected = [resource["id"] for resource in resources if evaluate(term, resource, GROUP)]
        assert select_ids(tx, GROUP, term) == expected, print_filter(term)
        transaction.rollback()


def _usable_on_members(term: Filter) -> bool:
    try:
        check_element_filter(term, MEMBERS)
    except InvalidFilter:
        return False
    return True


@settings(PROPERTY, max_examples=50)
@given(directories(), trees(leaves(["value", "type", "display", "$ref"]).filter(_usable_on_members), 3))
def test_sql_selects_the_members_that_the_definition_selects(
    engine: sa.Engine, rows: dict[str, Any], term: Filter
) -> None:
    """RFC 7644 §3.5.2.2: a remove with a value filter removes "the values that match"."""
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        _, _, resources = fill(tx, rows)
        condition = compile_member_filter(term, Scope(tx.dialect, "c", LOCATION))
        for resource in resources:
            expected = [m["value"] for m in resource.get("members", []) if matches_element(term, MEMBERS, m)]
            assert sorted(groups.members_where(tx, "c", resource["id"], condition)) == sorted(expected)
        transaction.rollback()


@settings(PROPERTY, max_examples=40)
@given(
    directories(),
    st.sampled_from(["userName", "externalId", "title", "name.familyName", "emails", "emails.type", "photos", "active",
                     "emails.primary", "meta.created", "groups", "groups.type", "groups.display", "schemas",
                     f"{CUSTOM}:badge", f"{ENTERPRISE}:department", "id"]),
    st.booleans(),
)  # fmt: skip
@example({"users": [(IDS[n], normalize(USER, {"userName": f"u{n}", "title": t} if t else {"userName": f"u{n}"}))
                    for n, t in enumerate(["b", "", "A", "a", ""])], "groups": []}, "title", True)  # fmt: skip
def test_pages_of_a_sorted_list_are_the_sorted_list(
    engine: sa.Engine, rows: dict[str, Any], path: str, descending: bool
) -> None:
    """AIP-158: pages join to the whole; RFC 7644 §3.4.2.3: no value is "last if ascending and first if descending"."""
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        fill(tx, rows)
        sort = compile_sort(parse_attribute_path(path), USER, Scope(tx.dialect, "c", LOCATION))
        listing = Listing("users", USER_COLUMNS, None, sort, descending)
        whole = list_rows(tx, "c", listing, after=None, skip=0, limit=100)
        assert len(whole) == len(rows["users"])
        missing = [row.sort_value is None for row in whole]
        assert missing == sorted(missing, reverse=descending)
        assert [row.id for row in whole if row.sort_value is None] == sorted(
            row.id for row in whole if row.sort_value is None
        )
        present = [(row.sort_value, row.id) for row in whole if row.sort_value is not None]
        by_id = sorted(present, key=lambda pair: pair[1])
        assert present == sorted(by_id, key=lambda pair: pair[0], reverse=descending)
        paged: list[str] = []
        after = None
        while page := list_rows(tx, "c", listing, after=after, skip=0, limit=1):
            paged += [row.id for row in page]
            after = Last(page[-1].id, page[-1].sort_value)
        assert paged == [row.id for row in whole]
        transaction.rollback()


FIXED: dict[str, Any] = {
    "users": [
        (IDS[0], normalize(USER, {"userName": "u0", ENTERPRISE: {"custom": 0.30000000000000004},
                                  CUSTOM: {"badge": [{"Value": "ß", "sub": ["x", None]}, None, "b", True]}})),
        (IDS[1], normalize(USER, {"userName": "U1", "emails": [{"value": "İx", "type": "home", "primary": True}],
                                  CUSTOM: {"badge": {"value": {"value": "deep"}, "sub": {"other": 10}}}})),
        (IDS[2], normalize(USER, {"userName": "ß2", "externalId": "É", CUSTOM: {"badge": [[1, 2]], "Tags": ""}})),
        (IDS[3], normalize(USER, {"userName": "ss2x", "externalId": "é", CUSTOM: {"badge": 1e22, "Tags": {}}})),
    ],
    "groups": [
        (IDS[5], normalize(GROUP, {"displayName": "G0"}), [IDS[0], IDS[6]]),
        (IDS[6], normalize(GROUP, {"displayName": "G1"}), [IDS[0], IDS[1], IDS[7]]),
        (IDS[7], normalize(GROUP, {"displayName": "G2"}), [IDS[2]]),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ('groups.type eq "indirect"', [1, 2]),
        ('groups[type eq "indirect" and display eq "g0"]', [1, 2]),
        ('groups[type eq "direct" and display eq "G0"]', [0]),
        ('groups[type eq "indirect" and display eq "g1"]', [2]),
        ('groups.value ne "x"', [0, 1, 2, 3]),
        (f'groups[value eq "{IDS[5]}"]', [0, 1, 2]),
        ("not (groups pr)", [3]),
        (f"{ENTERPRISE}:custom eq 0.30000000000000004", [0]),
        (f"{ENTERPRISE}:custom gt 0.3", [0]),
        (f'{CUSTOM}:badge eq "SS"', [0]),
        (f"{CUSTOM}:badge eq true", [0]),
        (f"{CUSTOM}:badge ne true", [0, 1, 2, 3]),
        (f'{CUSTOM}:badge eq "deep"', []),
        (f'{CUSTOM}:badge[value eq "b"]', [0]),
        (f'{CUSTOM}:badge[value.value eq "deep"]', [1]),
        (f"{CUSTOM}:badge[not (value pr)]", [0]),
        (f"{CUSTOM}:badge[sub.other ge 10]", [1]),
        (f"{CUSTOM}:badge.sub pr", [0, 1]),
        (f"{CUSTOM}:badge pr", [0, 1, 2, 3]),
        (f"{CUSTOM}:tags pr", []),
        (f"{CUSTOM}:badge[value eq 1]", [2]),
        (f"{CUSTOM}:badge ge 1e22", [3]),
        ('externalId eq "É"', [2]),
        ('externalId gt "z"', [2, 3]),
        ('userName sw "SS2"', [2, 3]),
        ('emails.value eq "i̇X"', [1]),
        ('emails[primary eq "True" and type eq "HOME"]', [1]),
        ('meta.created ge "1970-01-01T00:00:01.5Z"', [1, 2, 3]),
        ('meta.lastModified gt "1970-01-01T00:00:01.4995Z" and meta.created lt "1970-01-01T02:00:02+02:00"', [1]),
    ],
)
def test_a_filter_selects_what_it_says(engine: sa.Engine, filter: str, expected: list[int]) -> None:
    """RFC 7644 §3.4.2.2, and the choices that `scim.filter` makes where it is silent."""
    term = parse_filter(filter)
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        _, resources, _ = fill(tx, FIXED)
        assert select_ids(tx, USER, term) == [IDS[number] for number in expected]
        assert [resource["id"] for resource in resources if evaluate(term, resource, USER)] == [
            IDS[number] for number in expected
        ]
        transaction.rollback()


@pytest.mark.parametrize(
    ("resource_type", "path", "expected"),
    [
        (USER, "groups.display", ["g0", "g0", "g0", None]),
        (USER, "groups.type", ["direct", "indirect", "indirect", None]),
        (USER, "groups", [IDS[5], IDS[5], IDS[5], None]),
        (USER, "groups.$ref", [f"{LOCATION}/Groups/{IDS[5]}"] * 3 + [None]),
        (USER, "schemas", [USER.schema.id] * 4),
        (GROUP, "members", [IDS[0], IDS[0], IDS[2]]),
        (GROUP, "members.display", ["u0", "u0", "ss2"]),
        (GROUP, "members.type", ["user", "user", "user"]),
    ],
)
def test_memberships_are_sorted_by_the_first(
    engine: sa.Engine, resource_type: ResourceType, path: str, expected: list[str | None]
) -> None:
    """RFC 7644 §3.4.2.3: of a multi-valued attribute "the value of the primary attribute (or else the first value)"."""
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        fill(tx, FIXED)
        sort = compile_sort(parse_attribute_path(path), resource_type, Scope(tx.dialect, "c", LOCATION))
        table, columns = ("users", USER_COLUMNS) if resource_type is USER else ("groups", GROUP_COLUMNS)
        rows = list_rows(tx, "c", Listing(table, columns, None, sort), after=None, skip=0, limit=9)
        assert sorted(row.sort_value or "~" for row in rows) == sorted(value or "~" for value in expected)
        assert [row.sort_value for row in rows] == sorted(
            (row.sort_value for row in rows), key=lambda value: (value is None, value)
        )
        transaction.rollback()


def test_every_character_folds_as_python_folds_it(engine: sa.Engine) -> None:
    """`query`: "Text without `caseExact` compares by Python's `str.casefold`"."""
    function = "casefold" if engine.dialect.name == "sqlite" else "scim_casefold"
    characters = [chr(code) for code in range(1, 0x1F000) if not 0xD800 <= code < 0xE000]
    with engine.connect() as connection:
        for start in range(0, len(characters), 4000):
            text = "a" + "".join(characters[start : start + 4000])
            folded = connection.execute(sa.text(f"SELECT {function}(:text)"), {"text": text}).scalar()
            assert folded == text.casefold()


@pytest.mark.parametrize("path", ["password", "password.value", "urn:ietf:params:scim:schemas:core:2.0:User:password"])
def test_an_attribute_that_is_never_returned_is_neither_filtered_nor_sorted_by(path: str) -> None:
    """SECURITY, CVE-2018-1322: "filtering or sorting by a never-returned attribute is refused"."""
    scope = Scope("sqlite", "c", LOCATION)
    with pytest.raises(InvalidFilter):
        compile_filter(parse_filter(f"{path} pr"), USER, scope)
    with pytest.raises(InvalidFilter):
        compile_sort(parse_attribute_path(path), USER, scope)


@pytest.mark.parametrize(
    ("resource_type", "filter", "index"),
    [
        (USER, 'userName eq "u100"', "ux_users_user_name"),
        (USER, 'externalId eq "e100"', "ix_users_external_id"),
        (USER, f'id eq "{IDS[1]}"', ("users_id_key", "sqlite_autoindex_users", "users_1")),
        (GROUP, 'displayName eq "G1"', "ux_groups_display_name"),
        (GROUP, 'externalId eq "G1"', "ix_groups_external_id"),
        (GROUP, f'id eq "{IDS[1]}"', ("groups_id_key", "sqlite_autoindex_groups", "groups_1")),
    ],
)
def test_a_lookup_by_name_or_id_uses_its_index(
    engine: sa.Engine, resource_type: ResourceType, filter: str, index: str | tuple[str, ...]
) -> None:
    """TARGETS: "lookup `userName eq`" and "**Flat**: from 1,000 to 100,000 users"."""
    table = "users" if resource_type is USER else "groups"
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        connections.insert_workspace(tx, "w", name="w", slug="query-test", now_ms=0)
        connections.insert_connection(tx, "c", workspace_id="w", portal="MDM", display_name="c", now_ms=0)
        order = random.Random(7)
        for number in range(300):
            name = f"{number}-{order.random()}"
            if resource_type is USER:
                users.insert_user(
                    tx, "c", user_id=name, document={"userName": name, "active": True, "externalId": name},
                    metadata={}, mapping_generation=1, now_ms=0,
                )  # fmt: skip
            else:
                document = {"displayName": name, "externalId": name}
                groups.insert_group(tx, "c", GroupState(name, "c", document, 0, 0, 1, 0, 0))
        tx.execute(sa.text(f"ANALYZE {table}"))
        condition = compile_filter(parse_filter(filter), resource_type, Scope(tx.dialect, "c", LOCATION))
        explain = "EXPLAIN QUERY PLAN" if tx.dialect == "sqlite" else "EXPLAIN"
        statement = sa.text(
            f"{explain} SELECT {table}.id FROM {table} WHERE {table}.connection_id = :c AND {condition.sql}"
            f" ORDER BY {table}.position LIMIT 101"
        )
        plan = " ".join(str(row) for row in tx.execute(statement, {"c": "c", **condition.parameters}))
        names = (index,) if isinstance(index, str) else index
        assert any(name in plan for name in (*names, "sqlite_autoindex")), plan
        assert "SCAN" not in plan.upper().replace("INDEX SCAN", "").replace("BITMAP HEAP SCAN", "").replace(
            "BITMAP INDEX SCAN", ""
        ), plan
        transaction.rollback()


def test_rows_named_by_a_list_are_found_by_their_index(sqlite_url: str) -> None:
    """TARGETS, "**Flat**": what is looked up by id never walks the rows of its connection.

    On SQLite, which plans without statistics; PostgreSQL's plan of a small table says nothing of that of a large one.
    """
    migrations.upgrade(sqlite_url, MIGRATIONS)
    engine = create_engine(sqlite_url, "test", purpose="read")
    values = bind_values("sqlite", ["a", "b"])
    statements: list[tuple[Any, dict[str, Any]]] = [
        *((statement, {"connection_id": "c", **values}) for statement in groups._NAMED["sqlite"].values()),
        (groups._MEMBERS_AMONG["sqlite"], {"connection_id": "c", "group_id": "g", **values}),
        (groups._REMOVE_MEMBERS["sqlite"], {"connection": "c", "group": "g", **values}),
        (groups._MEMBERS_AFTER, {"connection_id": "c", "group_id": "g", "after": 0, "row_limit": 500}),
        (groups._MEMBERS_OF["sqlite"], {"connection_id": "c", **values}),
        (groups._GET_GROUP, {"connection_id": "c", "group_id": "g"}),
        (groups._UNPARK["sqlite"], {"connection": "c", "group": "g", **values}),
        (users._MEMBERSHIPS["sqlite"], {"connection_id": "c", **values}),
        (users._GET_USER, {"connection_id": "c", "user_id": "u"}),
        (users._USER_BY_NAME, {"connection_id": "c", "user_name_key": "u"}),
    ]
    with engine.connect() as connection:
        for statement, parameters in statements:
            compiled = statement.compile(dialect=engine.dialect, compile_kwargs={"render_postcompile": True})
            bound = compiled.construct_params(parameters)
            sql = f"EXPLAIN QUERY PLAN {compiled}"
            ordered = tuple(bound[name] for name in compiled.positiontup or ())
            plan = [row[3] for row in connection.exec_driver_sql(sql, ordered)]
            walks = [
                step
                for step in plan
                if re.search(r"SCAN (users|groups|group_members|parked_members|t)\b|\(connection_id=\?\)", step)
            ]
            assert not walks, (sql, plan)
    engine.dispose()
