"""The query string."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.query import FilterLimits, Page, Projection, page_of, parse_query, projection_of
from scim.errors import InvalidFilter, InvalidValue, ScimError
from scim.schemas import GROUP, USER

LIMITS = FilterLimits()


def page(raw: bytes) -> Page:
    return page_of(parse_query(raw), LIMITS)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"filter=userName%20eq%20%22a%2Bb%40c%22", 'userName eq "a+b@c"'),
        (b"filter=userName%20eq%20%22a+b@c%22", 'userName eq "a+b@c"'),
        (b"filter=userName+eq+%22a%2Bb@c%22", 'userName eq "a+b@c"'),
        (b"filter=userName+eq+%22O'Neil%22", 'userName eq "O\'Neil"'),
        (b"filter=userName%20eq%20%22a%5C%22b%22", 'userName eq "a\\"b"'),
        (b"filter=displayName%20eq%20%22A%26B%22&count=2", 'displayName eq "A&B"'),
        ("filter=displayName%20eq%20%22Ärzte%22".encode(), 'displayName eq "Ärzte"'),
        (b"filter=displayName%20eq%20%22a=b%22", 'displayName eq "a=b"'),
        (b"filter=displayName%20eq%20%22100%25%22", 'displayName eq "100%"'),
    ],
)
def test_filter_values_arrive_as_they_were_meant(raw: bytes, text: str) -> None:
    """WIRE, bugs others shipped: "`+`, `%2B` and quotes in filter values"."""
    assert page(raw).filter == text


@pytest.mark.parametrize(
    ("raw", "start_index", "count"),
    [
        (b"", 1, 100),
        (b"startIndex=1&count=2", 1, 2),
        (b"startIndex=0", 1, 100),
        (b"startIndex=-5", 1, 100),
        (b"count=-1", 1, 0),
        (b"count=0", 1, 0),
        (b"count=100000", 1, 200),
        (b"startindex=201&COUNT=100", 201, 100),
        (b"startIndex=%201%20", 1, 100),
        (b"startIndex=99999999999999999999999999", 2**31, 100),
        (b"startIndex=&count=", 1, 100),
    ],
)
def test_paging_is_one_based_and_clamped(raw: bytes, start_index: int, count: int) -> None:
    """WIRE: "1-based; startIndex < 1 means 1; negative count means 0; count 0 gives the total only"."""
    assert (page(raw).start_index, page(raw).count) == (start_index, count)


@pytest.mark.parametrize("raw", [b"startIndex=one", b"count=1.5", b"count=0x10", b"startIndex=1e3", b"count=%D9%A1"])
def test_a_number_that_is_none_is_refused_with_its_name(raw: bytes) -> None:
    """RFC 7644 §3.12: invalidValue; the detail names the parameter."""
    with pytest.raises(Refusal) as caught:
        page(raw)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")
    assert caught.value.detail.split()[0] in ("startIndex", "count")


@pytest.mark.parametrize("raw", [b"cursor&count=many", b"count=0&cursor=", b"cursor=abc&count=-1", b"cursor&count=1.5"])
def test_with_a_cursor_a_wrong_count_is_invalid_count(raw: bytes) -> None:
    """RFC 9865 §2: `count` is "A positive integer"; what is not is `invalidCount`."""
    with pytest.raises(Refusal) as caught:
        page(raw)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidCount")


def test_with_a_cursor_a_count_beyond_the_largest_page_is_that_page() -> None:
    """RFC 9865 §2: "the service provider [...] MAY return fewer results"."""
    assert page(b"cursor&count=1000").count == 200
    assert page(b"cursor&count=").count == 100


def test_a_cursor_is_present_and_empty_on_the_first_page() -> None:
    """WIRE: "first page is `cursor` present and empty"."""
    assert page(b"cursor").cursor == ""
    assert page(b"cursor=").cursor == ""
    assert page(b"cursor=abc").cursor == "abc"
    assert page(b"count=1").cursor is None
    with pytest.raises(InvalidValue):
        page(b"cursor=abc&startIndex=1")


@pytest.mark.parametrize("raw", [b"foo=bar", b"aadOptscim062020", b"&&=&a", b"%zz=1", b"count%3D5", b"_=1&_=2"])
def test_unknown_parameters_are_ignored(raw: bytes) -> None:
    """WIRE: "unknown parameters are ignored"."""
    assert page(raw) == page(b"")


def test_a_parameter_given_twice_is_refused() -> None:
    """Either reading could be the wrong one; the detail names the parameter."""
    with pytest.raises(InvalidValue, match="count is given twice"):
        page(b"count=1&count=2")


def test_attributes_given_in_several_parameters_are_all_meant() -> None:
    """RFC 7644 §3.9: "attributes": "a multi-valued list of strings", which some clients send one by one."""
    for raw in (b"attributes=title&attributes=name.givenName", b"attributes=title,name.givenName"):
        assert projection_of(USER, parse_query(raw)).attributes == ("title", "name.givenName")
    assert projection_of(USER, parse_query(b"excludedAttributes=a&ExcludedAttributes=b")).excluded == ("a", "b")


@pytest.mark.parametrize("raw", [b"filter=", b"filter=%20", b"filter"])
def test_a_blank_filter_is_refused_rather_than_taken_for_all(raw: bytes) -> None:
    """WIRE: "wrong → 400 `invalidFilter`"."""
    with pytest.raises(InvalidFilter):
        page(raw)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 4097,
        "(" * 1000 + "a pr" + ")" * 1000,
        " or ".join(["a pr"] * 400),
        "(" * 21 + "a pr" + ")" * 21,
        " or ".join(["a pr"] * 51),
        "or".join(["(a pr)"] * 51),
    ],
)
def test_a_filter_beyond_a_limit_is_refused_here(text: str) -> None:
    """SECURITY: "filter 4 KiB, depth 20 and 50 terms (400 `invalidFilter`)"."""
    with pytest.raises(InvalidFilter):
        page_of({"filter": text}, LIMITS)


@pytest.mark.parametrize("text", [" or ".join(["a pr"] * 50), "(" * 20 + "a pr" + ")" * 20])
def test_a_filter_at_the_limit_passes(text: str) -> None:
    """SECURITY: "depth 20 and 50 terms"."""
    assert page_of({"filter": text}, LIMITS).filter == text


def test_sort_order_is_one_of_two() -> None:
    """RFC 7644 §3.4.2.3: "ascending" and "descending"; the default is ascending."""
    assert page(b"sortBy=userName").descending is False
    assert page(b"sortBy=userName&sortOrder=Descending").descending is True
    with pytest.raises(InvalidValue, match="sortOrder"):
        page(b"sortOrder=up")


def test_attributes_and_excluded_attributes_exclude_each_other() -> None:
    """RFC 7644 §3.9: the two parameters are mutually exclusive."""
    with pytest.raises(InvalidValue):
        projection_of(USER, parse_query(b"attributes=userName&excludedAttributes=emails"))


def test_what_is_not_asked_for_is_not_loaded() -> None:
    """WIRE: "`GET /Groups?excludedAttributes=members&filter=…`"."""
    assert projection_of(GROUP, parse_query(b"excludedAttributes=members")).returns(GROUP, "members") is False
    assert projection_of(GROUP, parse_query(b"attributes=displayName")).returns(GROUP, "members") is False
    assert projection_of(GROUP, parse_query(b"attributes=members.value")).returns(GROUP, "members") is True
    assert projection_of(GROUP, parse_query(b"attributes=")).returns(GROUP, "members") is True
    assert projection_of(USER, parse_query(b"attributes=name,%20emails")) == Projection(("name", "emails"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example(b"\x1c0")  # a space to a regular expression, and none to int()
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """SECURITY: a query of any bytes gives a page or a SCIM error, nothing else."""
    for text in (raw, b"filter=" + raw, b"count=" + raw, b"attributes=" + raw):
        with contextlib.suppress(ScimError, Refusal):
            parameters = parse_query(text)
            page_of(parameters, LIMITS)
            projection_of(USER, parameters)
