"""The file of `mapping set`: PRODUCT section 3's list, and clear words about what is wrong with another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import Refused
from cli.mapping import read_mapping
from cli.output import document

DEPARTMENT = {
    "name": "department",
    "attributes": [
        {"namespace": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "key": "department"},
        {"key": "title"},
    ],
}


def test_the_list_of_section_3_is_read():
    """PRODUCT 3: `{name, attributes: [{namespace?, key}]}`, in order."""
    read = [document(item) for item in read_mapping(json.dumps([DEPARTMENT]), "F.json")]
    assert read == [
        {"name": "department", "attributes": [DEPARTMENT["attributes"][0], {"namespace": "", "key": "title"}]}
    ]


def test_what_mapping_show_prints_can_be_set_again():
    """An administrator edits what stands: the document of `mapping show --json` is a file for `mapping set`."""
    shown = {"mapped_attributes": [DEPARTMENT], "pending_users": 0}
    assert len(read_mapping(json.dumps(shown), "F.json")) == 1


def test_an_empty_list_is_a_mapping():
    """An empty list ends the mapping."""
    assert read_mapping("[]", "F.json") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[\n  {"name": "a",\n   "attributes": [}\n]', "F.json, line 3, column 19"),
        ("", "F.json, line 1, column 1"),
        ("{}", "F.json: expected a list of"),
        ('"x"', "F.json: expected a list of"),
        ("[1]", "F.json: [0]: expected an object with attributes and name"),
        ('[{"name": "a"}]', "F.json: [0]: attributes is missing"),
        ('[{"attributes": []}]', "F.json: [0]: name is missing"),
        ('[{"name": "", "attributes": []}]', "F.json: [0].name: expected a text that is not empty"),
        ('[{"name": "a", "attributes": []}]', "F.json: [0].attributes: expected a list with at least one source"),
        ('[{"name": "a", "attributes": [{}]}]', "F.json: [0].attributes[0]: key is missing"),
        ('[{"name": "a", "attributes": [{"key": 1}]}]', "F.json: [0].attributes[0].key: expected an attribute"),
        ('[{"name": "a", "attributes": [{"key": "t", "namespace": 1}]}]', "[0].attributes[0].namespace: expected"),
        ('[{"name": "a", "attributes": [{"key": "t", "schema": "u"}]}]', "schema is not known"),
        ('[{"name": "a", "sources": [], "attributes": [{"key": "t"}]}]', "sources is not known"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place_and_what_is_expected(text, expected):
    """Errors name the field and the rule, and change nothing."""
    with pytest.raises(Refused) as refused:
        read_mapping(text, "F.json")
    assert expected in str(refused.value)


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["name", "attributes", "key", "namespace", "mapped_attributes"]), x)).map(json.dumps))  # fmt: skip
def test_no_file_ends_in_a_traceback(text):
    """Exit 1 is one clear line, whatever the file holds."""
    try:
        read = read_mapping(text, "F.json")
    except Refused as refused:
        line = str(refused)
    else:
        line = f"F.json: {len(read)}"
    assert line.startswith("F.json")
