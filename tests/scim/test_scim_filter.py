"""Filters: grammar, limits, check and evaluation."""

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scim.errors import InvalidFilter, InvalidPath, ScimError
from scim.filter import (
    And,
    AttributePath,
    Comparison,
    Filter,
    Not,
    Or,
    PatchPath,
    Present,
    ValuePath,
    check,
    evaluate,
    matches_element,
    parse_filter,
    parse_path,
    print_filter,
)
from scim.schemas import ENTERPRISE_USER_URN, GROUP, MEMBERS, USER, USER_URN
from tests.scim.strategies import filters, json_values, text

JENSEN: dict[str, Any] = {
    "schemas": [USER_URN, ENTERPRISE_USER_URN, "urn:custom:x"],
    "id": "2819c223",
    "externalId": "Ext",
    "userName": "bJensen@Example.com",
    "name": {"familyName": "O'Malley", "givenName": "Straße"},
    "active": True,
    "title": "Tour Guide",
    "emails": [
        {"value": "Work@example.com", "type": "work", "primary": True},
        {"value": "home@example.org", "type": "home"},
    ],
    "groups": [{"value": "g1", "display": "Admins"}],
    "meta": {"resourceType": "User", "created": "2010-01-23T04:56:22Z", "lastModified": "2011-05-13T04:42:34.5+02:00"},
    ENTERPRISE_USER_URN: {"department": "Tours", "manager": {"value": "m1"}, "badge": 7},
    "urn:custom:x": {
        "Level": 3,
        "flag": False,
        "tags": ["A", "b"],
        "boss": {"value": "Eve"},
        "list": [{"n": 1}, {"n": 2}],
    },
}


def test_a_urn_may_have_parentheses() -> None:
    """RFC 8141 §2: the namespace-specific string is of pchar, which has "(" and ")" (RFC 3986 §3.3)."""
    urn = "urn:acme:site(north)):o'hare"
    named = Comparison(path("badge", "no", urn), "eq", 1)
    assert parse_filter(f"({urn}:badge.no eq 1)") == named
    assert parse_filter(f"not(({urn}:a pr) and not({urn}:badge.no eq 1))") == Not(
        And((Present(path("a", schema=urn)), Not(named)))
    )
    assert parse_path(f'{urn}:cards[type eq "x"].no') == PatchPath(
        path("cards", schema=urn), Comparison(path("type"), "eq", "x"), "no"
    )


def path(name: str, sub: str | None = None, schema: str | None = None) -> AttributePath:
    return AttributePath(schema, name, sub)


def eq(name: str, value: Any) -> Comparison:
    return Comparison(path(name), "eq", value)


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ('userName eq "bjensen"', eq("userName", "bjensen")),
        ('username Eq "x"', eq("username", "x")),
        ("  title   pr ", Present(path("title"))),
        ("active eq true", eq("active", True)),
        ("active eq False", eq("active", False)),
        ("title eq null", eq("title", None)),
        ("x ge -1.5e3", Comparison(path("x"), "ge", -1500.0)),
        (r'title eq "a \"q\" \\ \u00e9 +%2B"', eq("title", 'a "q" \\ é +%2B')),
        ('title eq ") or (userName pr"', eq("title", ") or (userName pr")),
        ("a pr or b pr and c pr", Or((Present(path("a")), And((Present(path("b")), Present(path("c"))))))),
        ("(a pr or b pr) and c pr", And((Or((Present(path("a")), Present(path("b")))), Present(path("c"))))),
        ("not (a pr) and b pr", And((Not(Present(path("a"))), Present(path("b"))))),
        ("NOT(a PR) OR b Pr", Or((Not(Present(path("a"))), Present(path("b"))))),
        ("a pr and (b pr and c pr)", And((Present(path("a")), And((Present(path("b")), Present(path("c"))))))),
        ('emails[type eq "work"]', ValuePath(path("emails"), eq("type", "work"))),
        (
            'emails[type eq "work" and not (value co "@x")] or a pr',
            Or(
                (
                    ValuePath(
                        path("emails"),
                        And((eq("type", "work"), Not(Comparison(path("value"), "co", "@x")))),
                    ),
                    Present(path("a")),
                )
            ),
        ),
        ('emails[type eq "work"].value eq "x"', ValuePath(path("emails"), And((eq("type", "work"), eq("value", "x"))))),
        (f'{USER_URN}:name.familyName sw "J"', Comparison(path("name", "familyName", USER_URN), "sw", "J")),
        (f"{ENTERPRISE_USER_URN}:manager pr", Present(path("manager", None, ENTERPRISE_USER_URN))),
        ('urn:a:2.0:b[c eq "d"]', ValuePath(path("b", None, "urn:a:2.0"), eq("c", "d"))),
    ],
)
def test_the_grammar_of_the_rfc_is_understood(source: str, tree: Filter) -> None:
    """RFC 7644 §3.4.2.2 figure 1, and its order of operations: grouping, not, and, or."""
    assert parse_filter(source) == tree


@pytest.mark.parametrize(
    "source",
    [
        *("", " ", "userName", "userName eq", 'eq "x"', 'userName eq "x', "userName eq x", "userName eq 'x'"),
        *('userName xx "x"', 'userName eq "x" and', 'or userName eq "x"', '(userName eq "x"', 'userName eq "x")'),
        *("not title pr", "()", "title pr title pr", "emails[]", 'emails[type eq "x"', 'emails[a[b eq "x"]]'),
        *('emails[type eq "x"].', 'emails[type eq "x"].a.b pr', "1a pr", "a..b pr", "a eq 01", "a eq +1", "a eq 1."),
        *(r'a eq "\x"', r'a eq "\ud800"', r'a eq "\u0000"', "a eq 1e999", "a eq 9223372036854775808", "a eq NaN"),
        *('a eq "x" "y"', "a pr]", "[a pr]", 'a eq "x"; drop', "a eq b eq c", "a eq (b)"),
    ],
)
def test_what_is_not_in_the_grammar_is_an_invalid_filter(source: str) -> None:
    """RFC 7644 §3.12 invalidFilter: "The specified filter syntax was invalid"."""
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(source)
    assert caught.value.detail


@pytest.mark.parametrize(
    "source",
    [
        "(" * 1000 + "a pr" + ")" * 1000,
        "not (" * 700 + "a pr" + ")" * 700,
        "(" * 4096,
        " or ".join(["a pr"] * 2000),
        " and ".join(["a pr"] * 51),
        "emails[" * 600,
        "a" * 4097,
        '"' + "\\" * 4000,
    ],
    ids=["parentheses", "not", "open", "or", "51 terms", "brackets", "length", "backslashes"],
)
@pytest.mark.parametrize("limits", [{}, {"max_length": 10**6}], ids=["default", "any length"])
def test_huge_filters_are_refused_at_once(source: str, limits: dict[str, int]) -> None:
    """Design: "depth 1,000 and 2,000 `or` terms: 400, in under 50 ms"."""
    started = time.thread_time()  # of this thread, so that a busy machine does not decide
    with pytest.raises(InvalidFilter):
        parse_filter(source, **limits)
    assert time.thread_time() - started < 0.05


def test_filters_up_to_the_limits_are_taken() -> None:
    """Design: filter 4 KiB, depth 20 and 50 terms."""
    assert parse_filter("(" * 20 + "a pr" + ")" * 20) == Present(path("a"))
    assert len(parse_filter(" or ".join(["a pr"] * 50)).terms) == 50  # type: ignore[union-attr]
    assert len(parse_filter(" or ".join(["(not (a[b pr]))"] * 30)).terms) == 30  # type: ignore[union-attr]
    with pytest.raises(InvalidFilter, match="deeper than 20"):
        parse_filter("(" * 21 + "a pr" + ")" * 21)
    with pytest.raises(InvalidFilter, match="more than 50"):
        parse_filter(" or ".join(["a pr"] * 51))


@settings(max_examples=300, deadline=None)
@given(filters)
def test_printing_and_parsing_give_the_same_tree(tree: Filter) -> None:
    """The printed form of a filter is a filter, and the same one."""
    printed = print_filter(tree)
    assert parse_filter(printed, max_length=10**6, max_depth=100, max_terms=1000) == tree


TOKENS = st.sampled_from(
    [
        *'()[]".',
        "not",
        "and",
        "or",
        "eq",
        "pr",
        "co",
        "userName",
        "emails",
        ".value",
        '"x"',
        '"',
        "true",
        "1",
        "\\",
        " ",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(text, st.lists(TOKENS, max_size=12).map(" ".join), st.lists(TOKENS, max_size=12).map("".join)))
def test_only_scim_errors_escape_from_the_parsers(source: str) -> None:
    """Whatever the text, the answer is a tree or a SCIM error of the right kind."""
    try:
        tree = parse_filter(source)
    except InvalidFilter:
        pass
    else:
        assert parse_filter(print_filter(tree)) == tree
        try:
            check(tree, USER)
        except InvalidFilter:
            with pytest.raises(InvalidFilter):
                evaluate_everything(tree)
        else:
            evaluate(tree, JENSEN, USER)
    with contextlib.suppress(InvalidPath, InvalidFilter):
        parse_path(source)


def evaluate_everything(tree: Filter) -> None:
    """Evaluate every leaf, as `and` and `or` stop at the first that decides."""
    if isinstance(tree, And | Or):
        for term in tree.terms:
            evaluate_everything(term)
    elif isinstance(tree, Not):
        evaluate_everything(tree.term)
    elif isinstance(tree, ValuePath):
        check(tree, USER)
    else:
        evaluate(tree, JENSEN, USER)


@pytest.mark.parametrize(
    "source",
    [
        'userName eq "BJENSEN@EXAMPLE.COM"',
        f'{USER_URN}:USERNAME eq "bjensen@example.com"',
        'userName ne "x"',
        'userName co "JENSEN"',
        'userName sw "bj"',
        'userName ew ".COM"',
        'userName gt "a"',
        'userName le "bjensen@example.com"',
        'id eq "2819c223"',
        'externalId eq "Ext"',
        'name.familyName co "o\'m"',
        'name.givenName eq "STRASSE"',
        "active eq true",
        'active eq "True"',
        "active ne false",
        "title pr",
        "name pr",
        "emails pr",
        "nickName eq null",
        "title ne null",
        'nickName ne "x"',
        'emails eq "work@example.com"',
        'emails co "example.org"',
        'emails.value eq "HOME@example.org"',
        'email eq "work@example.com"',
        'emails.type ne "work"',
        'emails[type eq "work" and value co "@example.com"]',
        'emails[type eq "home" and not (primary eq true)]',
        'emails[type eq "work"].value eq "work@example.com"',
        "emails[primary pr]",
        'groups.display eq "admins"',
        'groups[value eq "g1"]',
        f'schemas eq "{ENTERPRISE_USER_URN}"',
        'meta.resourceType eq "User"',
        'meta.created lt "2010-01-23T04:56:22.001Z"',
        'meta.created eq "2010-01-23T05:56:22+01:00"',
        'meta.lastModified ge "2011-05-13T02:42:34.5Z"',
        f'{ENTERPRISE_USER_URN}:department eq "tours"',
        f'{ENTERPRISE_USER_URN}:manager eq "m1"',
        f'{ENTERPRISE_USER_URN}:manager.value eq "m1"',
        f"{ENTERPRISE_USER_URN}:badge gt 6",
        f"{ENTERPRISE_USER_URN} pr",
        "URN:CUSTOM:X:level eq 3.0",
        "urn:custom:x:flag eq false",
        "urn:custom:x:flag pr",
        'urn:custom:x:tags eq "a"',
        'urn:custom:x:tags ne "a"',
        'urn:custom:x:boss eq "eve"',
        'urn:custom:x:boss.value sw "E"',
        "urn:custom:x:list.n eq 2",
        "urn:custom:x:list[n eq 2]",
        'urn:custom:x:tags[value eq "B"]',
        'urn:custom:x:Level ne "3"',
        "urn:custom:x:nothing eq null",
        'userName eq "x" or active eq true and title pr',
        'not (userName eq "x" or title eq "y")',
    ],
)
def test_filters_that_hold(source: str) -> None:
    """RFC 7644 §3.4.2.2 table 3; caseExact per RFC 7643 §2.2; dates as instants; the rules of scim.filter."""
    tree = parse_filter(source)
    check(tree, USER)
    assert evaluate(tree, JENSEN, USER) is True
    assert evaluate(Not(tree), JENSEN, USER) is False


@pytest.mark.parametrize(
    "source",
    [
        'userName eq "bjensen"',
        'userName ne "BJENSEN@example.com"',
        'id eq "2819C223"',
        'externalId eq "ext"',
        'externalId co "EXT"',
        f'{ENTERPRISE_USER_URN}:manager eq "M1"',
        'schemas eq "URN:CUSTOM:X"',
        'userName gt "c"',
        "active eq false",
        'active eq "FALSE"',
        "nickName pr",
        'nickName co ""',
        'nickName gt "a"',
        "title eq null",
        'emails[type eq "home" and primary eq true]',
        'emails[type eq "work"].value eq "home@example.org"',
        "phoneNumbers pr",
        'phoneNumbers[type eq "work"]',
        'meta.created gt "2010-01-23T04:56:22Z"',
        'urn:custom:x:Level eq "3"',
        'urn:custom:x:Level co "3"',
        "urn:custom:x:flag eq 0",
        "urn:custom:x:Level eq true",
        "urn:other:x:a pr",
        "urn:custom:x:nothing pr",
        "urn:custom:x:list[n eq 3]",
    ],
)
def test_filters_that_do_not_hold(source: str) -> None:
    """RFC 7644 §3.4.2.2 table 3; nothing compares equal across types."""
    tree = parse_filter(source)
    check(tree, USER)
    assert evaluate(tree, JENSEN, USER) is False


@pytest.mark.parametrize(
    "source",
    [
        *('nope eq "x"', "userName.x pr", 'name.nope eq "x"', 'name eq "x"', 'meta eq "x"', 'addresses co "x"'),
        *('password eq "x"', "password pr", "not (password pr)", f'{USER_URN}:PassWord sw "a"', "password eq null"),
        *("active gt true", 'active co "t"', 'active eq "yes"', "active eq 1", "userName eq 5", "userName eq true"),
        *(
            'meta.created gt "yesterday"',
            'meta.created co "2010"',
            "meta.created gt 5",
            "title gt null",
            "title co null",
        ),
        *('x509Certificates.value gt "a"', "urn:a:b:c gt true", "urn:a:b:c co 5", 'userName[value eq "x"]'),
        *('emails[nope eq "x"]', 'emails[type.x eq "y"]', "emails[primary gt true]", f'{USER_URN} eq "x"', "id.x pr"),
        *('emails[urn:a:b:c eq "x"]', f'{ENTERPRISE_USER_URN} eq "x"', 'manager eq "x"', f"{USER_URN} pr"),
    ],
)
def test_filters_that_cannot_be_evaluated_are_refused(source: str) -> None:
    """RFC 7644 §3.4.2.2: a filter that cannot be processed is 400 invalidFilter; a never-returned attribute is none."""
    tree = parse_filter(source)
    with pytest.raises(InvalidFilter):
        check(tree, USER)
    with pytest.raises(InvalidFilter):
        evaluate(tree, {**JENSEN, "password": "x"}, USER)


def test_an_unknown_attribute_is_refused_even_where_it_would_not_decide() -> None:
    """Design: an "unsupported filter answered with an empty list" makes clients create duplicates."""
    for source in ('userName eq "x" or nope eq "y"', 'userName eq "x" and not (nope pr)'):
        with pytest.raises(InvalidFilter, match="nope"):
            check(parse_filter(source), USER)


def test_groups_have_their_own_attributes() -> None:
    """RFC 7643 §4.2; `email` is an alias of users only."""
    resource = {"displayName": "Admins", "externalId": "e", "members": [{"value": "U1"}]}
    assert evaluate(parse_filter('displayName eq "ADMINS" and externalId eq "e"'), resource, GROUP)
    assert evaluate(parse_filter('members eq "U1"'), resource, GROUP)
    assert not evaluate(parse_filter('members.value eq "u1"'), resource, GROUP)
    with pytest.raises(InvalidFilter):
        check(parse_filter('email eq "x"'), GROUP)
    with pytest.raises(InvalidFilter):
        check(parse_filter('userName eq "x"'), GROUP)


def test_value_filters_select_single_elements() -> None:
    """RFC 7644 §3.5.2: "members[value eq ...]" selects the elements that match."""
    term = parse_filter('value eq "U1" and type eq "user"')
    assert matches_element(term, MEMBERS, {"value": "U1", "type": "User"})
    assert not matches_element(term, MEMBERS, {"value": "u1", "type": "User"})


@settings(max_examples=200, deadline=None)
@given(
    filters, st.dictionaries(st.sampled_from([*USER.lookup, "urn:a:b", ENTERPRISE_USER_URN]), json_values, max_size=4)
)
def test_evaluation_is_total_on_what_check_admits(tree: Filter, resource: dict[str, Any]) -> None:
    """A filter that `check` admits evaluates on any resource, and its negation to the opposite."""
    try:
        check(tree, USER)
    except ScimError:
        return
    assert evaluate(tree, resource, USER) is not evaluate(Not(tree), resource, USER)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("userName", PatchPath(path("userName"))),
        ("name.familyName", PatchPath(path("name", "familyName"))),
        (f"{ENTERPRISE_USER_URN}:department", PatchPath(path("department", None, ENTERPRISE_USER_URN))),
        ('emails[type eq "work"]', PatchPath(path("emails"), eq("type", "work"))),
        ('emails[type eq "work"].value', PatchPath(path("emails"), eq("type", "work"), "value")),
        ('urn:a:b:c[d eq "x"].e', PatchPath(path("c", None, "urn:a:b"), eq("d", "x"), "e")),
    ],
)
def test_patch_paths_are_understood(source: str, expected: PatchPath) -> None:
    """RFC 7644 §3.5.2 figure 7: PATH = attrPath / valuePath [subAttr]."""
    assert parse_path(source) == expected


@pytest.mark.parametrize(
    "source",
    ["", " ", "a b", "a[", "a[b", "a[b eq", 'a[b eq "c"', 'a[b eq "c"]d', 'a[b eq "c"].', 'a[b eq "c"].d.e',
     'a[b eq "c".d', "a eq 1", "(a)", "a.b.c", "[" * 1000, "a" * 5000],
)  # fmt: skip
def test_malformed_patch_paths_are_refused(source: str) -> None:
    """RFC 7644 §3.12 invalidPath: "The "path" attribute was invalid or malformed"."""
    with pytest.raises(InvalidPath):
        parse_path(source)


@pytest.mark.parametrize(
    "source",
    ["a[]", "a[b]", "a[b is 1]", "members[value eq x]", 'a[b eq "c" and]', 'a[b[c eq "d"]]', "a[" + "(" * 1000],
)
def test_a_malformed_filter_in_a_patch_path_is_an_invalid_filter(source: str) -> None:
    """RFC 7644 §3.12 invalidFilter: "The specified filter syntax was invalid", for "PATCH (Path Filter)" too."""
    with pytest.raises(InvalidFilter):
        parse_path(source)
