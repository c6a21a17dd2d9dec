"""Generators of SCIM bodies, filters and operations, half plausible and half hostile."""

from typing import Any

from hypothesis import strategies as st

from scim.filter import And, AttributePath, Comparison, Filter, Not, Or, Present, ValuePath
from scim.schemas import ENTERPRISE_USER_URN, GROUP_URN, USER_URN, ResourceType

text = st.text(st.characters(exclude_categories=()), max_size=8)
words = st.sampled_from(["", "a", "b", "A@b", "work", "home", "True", "false", "2026-01-31T08:00:00Z", "\0", "ß", "İ"])
scalars = st.one_of(
    st.none(), st.booleans(), words, text, st.integers(-(2**70), 2**70), st.floats(allow_nan=True, allow_infinity=True)
)
sub_names = st.sampled_from(["value", "VALUE", "type", "primary", "display", "$ref", "givenName", "givenname", "nope"])
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(sub_names, text), inner, max_size=3),
    ),
    max_leaves=6,
)
extension_names = st.sampled_from(
    [
        USER_URN,
        GROUP_URN,
        ENTERPRISE_USER_URN,
        ENTERPRISE_USER_URN.upper(),
        f"{ENTERPRISE_USER_URN}:manager",
        f"{ENTERPRISE_USER_URN}:manager.value",
        f"{USER_URN}:title",
        "urn:custom:x",
        "urn:Custom:X",
        "urn:custom:x:badge",
        "urn:custom:2.0",
        "urn:custom:x(1)",
        "urn:custom:x(1):badge",
        "foo:bar",
        ":",
    ]
)


def attribute_names(resource_type: ResourceType) -> st.SearchStrategy[str]:
    """Names of the resource type in two spellings, extensions, and arbitrary text."""
    return st.one_of(st.sampled_from(sorted(resource_type.lookup)), extension_names, text)


@st.composite
def bodies(draw: st.DrawFn, resource_type: ResourceType) -> dict[str, Any]:
    """A body that mostly has the required attribute."""
    body: dict[str, Any] = draw(st.dictionaries(attribute_names(resource_type), json_values, max_size=5))
    if draw(st.integers(0, 9)):
        body.pop(resource_type.required[0].name.lower(), None)
        body[resource_type.required[0].name] = draw(st.sampled_from(["a", "B@c"]))
    return body


names = st.from_regex(r"[A-Za-z_$][A-Za-z0-9_$-]{0,5}", fullmatch=True).filter(
    lambda name: name.lower() not in ("not", "and", "or")
)
paths = st.builds(
    AttributePath,
    st.sampled_from([None, "urn:a:b", USER_URN, ENTERPRISE_USER_URN, "http://x/y"]),
    names,
    st.one_of(st.none(), names),
)
literals = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)
operators = st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"])


def trees(leaves: st.SearchStrategy[Filter], max_leaves: int = 12) -> st.SearchStrategy[Filter]:
    """Filters over the leaves given."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=max_leaves,
    )


leaf_filters: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Comparison, paths, operators, literals), st.builds(Present, paths)
)
filters: st.SearchStrategy[Filter] = trees(
    st.one_of(leaf_filters, st.builds(ValuePath, paths, trees(leaf_filters, max_leaves=4)))
)
