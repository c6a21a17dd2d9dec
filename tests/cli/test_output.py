"""The JSON and the text that commands print."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.directory.v1 import user_pb2
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from cli.output import document, duration_text, enum_name, print_json, print_table, printable, struct
from cli.parameters import is_uuid, parse_duration, quoted
from cli.rules import rules_document
from cli.user import user_document


def enum_types():
    for module in (connections, directory, portal, mdm, delivery):
        yield from module.DESCRIPTOR.enum_types_by_name.values()


@pytest.mark.parametrize("enum_type", list(enum_types()), ids=lambda enum_type: enum_type.full_name)
def test_enum_values_lose_the_prefix_of_their_type(enum_type):
    """PRODUCT 8: "enum values their proto names without the type's prefix"."""
    for value in enum_type.values:
        short = enum_name(enum_type, value.number)
        assert value.name.endswith(f"_{short}")
        assert short != value.name
        unprefixed = value.name[: -len(short) - 1].replace("_", "").lower()
        assert unprefixed == enum_type.name.lower()


def test_an_enum_value_of_a_newer_service_is_shown_as_its_number():
    """A newer service may send a value that this version has no name for."""
    assert enum_name(mdm.DeviceState.DESCRIPTOR, 99) == "99"


def test_a_message_is_shown_with_every_field():
    """PRODUCT 8: "keys are the proto fields in snake_case"; an absent time is null, an absent number 0."""
    value = document(mdm.Device(device_id="d", state=mdm.DEVICE_STATE_ENROLLED))
    assert list(value) == [field.name for field in mdm.Device.DESCRIPTOR.fields]
    assert value["assignment_epoch"] == 0
    assert value["owner_email"] == ""
    assert value["state"] == "ENROLLED"
    assert value["enrolled_time"] is None


def test_a_64_bit_number_is_a_json_number():
    """A version is compared and counted with; proto3 JSON would make it a string."""
    value = document(user_pb2.User(version=2**53 - 1))
    assert json.loads(json.dumps(value))["version"] == 2**53 - 1


def test_times_are_rfc_3339():
    """A time is RFC 3339 in UTC."""
    token = connections.Token()
    token.expire_time.FromDatetime(datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
    assert document(token)["expire_time"] == "2026-03-01T12:30:00Z"


def test_an_optional_flag_tells_false_from_absent():
    """proto3 `optional` keeps presence: an inactive user is false, a user whose state is not told is null."""
    assert document(user_pb2.User(active=False))["active"] is False
    assert document(user_pb2.User())["active"] is None


def test_absent_metadata_is_an_empty_object():
    """A program that looks a name up in `metadata` need not ask first whether there is any."""
    assert document(user_pb2.User())["metadata"] == {}


def test_a_person_is_not_shown_what_says_nothing():
    """Of a name with six parts, the two that are known are shown."""
    assert (
        printable({"given_name": "Ana", "middle_name": "", "tags": [], "inner": {"a": None}}) == '{"given_name":"Ana"}'
    )


def test_a_map_is_an_object():
    """User.extensions is a map by URN."""
    assert document(user_pb2.User(extensions={"urn:x:y": '{"a":1}'}))["extensions"] == {"urn:x:y": '{"a":1}'}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=4))
def test_metadata_is_the_object_that_the_struct_stands_for(value):
    """PRODUCT 3: the value "is written to the user's metadata[name]": what went in is what is shown."""
    message = struct_pb2.Struct()
    message.update(value)
    assert struct(message) == value


@given(st.text())
def test_no_name_can_drive_a_terminal(text):
    """Names come from outside; a person's terminal must not obey them."""
    assert printable(text).isprintable()


def test_a_person_sees_words_for_flags_and_a_dash_for_nothing():
    """Human output is for reading."""
    assert [printable(value) for value in (True, False, None, "", [], ["a", "b"], 0)] == [
        "yes", "no", "-", "-", "-", "a, b", "0",
    ]  # fmt: skip


def test_json_is_one_document(capsys):
    """PRODUCT 8: "one JSON document on stdout (an object, or a list), nothing else there"."""
    print_json([{"a": "é"}, {"a": None}])
    out = capsys.readouterr().out
    assert json.loads(out) == [{"a": "é"}, {"a": None}]
    assert out.endswith("\n")


def test_a_table_in_a_pipe_cuts_no_value(capsys):
    """An id that is cut cannot be used."""
    ids = [f"{number:036d}" for number in range(6)]
    print_table([{f"c{i}": value for i, value in enumerate(ids)}], [f"c{i}" for i in range(6)], empty="none")
    out = capsys.readouterr().out
    assert all(value in out for value in ids)


def test_a_name_in_a_table_is_not_markup(capsys):
    """A group may be called "[red]"."""
    print_table([{"name": "[red]x[/red]"}], ["name"], empty="none")
    assert "[red]x[/red]" in capsys.readouterr().out


def test_an_empty_table_says_so(capsys):
    """Nothing to show is an answer too."""
    print_table([], ["name"], empty="No groups.")
    assert capsys.readouterr().out == "No groups.\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("365d", 365 * 86400), ("1h", 3600), ("30m", 1800), ("90s", 90), ("0", 0), ("1h30m", 5400), (" 2D ", 172800)],
)
def test_durations_are_read(text, seconds):
    """PRODUCT 8: `--expires-in 365d`, `--settling-period 1h`."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1.5h", "1h 30m", "tomorrow", "١h"])
def test_what_is_no_duration_is_refused(text):
    """A wrong duration is a usage error that says what is expected."""
    import typer

    with pytest.raises(typer.BadParameter, match="365d, 1h, 30m, 90s or 0"):
        parse_duration(text)


@given(st.integers(0, 10**8))
def test_a_duration_is_shown_as_it_would_be_written(seconds):
    """What `rules show` prints can be given to `rules set`."""
    assert parse_duration(duration_text(f"{seconds}s")) == timedelta(seconds=seconds)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_survives_the_quotes_of_a_filter(text):
    """RFC 7644 §3.4.2.2: a comparison value is a JSON string."""
    assert json.loads(quoted(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8f14e45f-ceea-467f-8e4d-1a2b3c4d5e6f", True),
        ("8F14E45F-CEEA-467F-8E4D-1A2B3C4D5E6F", True),
        ("8f14e45fceea467f8e4d1a2b3c4d5e6f", False),
        ("{8f14e45f-ceea-467f-8e4d-1a2b3c4d5e6f}", False),
        ("ana@example.com", False),
    ],
)
def test_an_id_is_told_from_a_name(text, expected):
    """`user show C ID_OR_USERNAME`: only the usual form of a UUID is an id."""
    assert is_uuid(text) is expected


@pytest.mark.parametrize("arm", [field.name for field in mdm.OnDeactivate.DESCRIPTOR.oneofs[0].fields])
def test_every_behaviour_of_mdm_rules_has_its_name(arm):
    """PRODUCT 8: "enum values their proto names without the type's prefix (`CHANGE_POLICY`)"."""
    rules = mdm.Rules(connection_id="c")
    getattr(rules.on_deactivate, arm).SetInParent()
    value = rules_document(rules)
    assert value["on_deactivate"] == arm.upper()
    assert value["policy_id"] == ""


def test_a_change_of_policy_is_shown_with_its_policy():
    """PRODUCT 6: `CHANGE_POLICY{policy_id}`."""
    rules = mdm.Rules(on_deactivate=mdm.OnDeactivate(change_policy=mdm.ChangePolicy(policy_id="p")))
    assert rules_document(rules)["policy_id"] == "p"


@pytest.mark.parametrize(
    ("user", "email"),
    [
        ({"emails": [{"value": "a@x"}, {"value": "b@x", "primary": True}]}, "b@x"),
        ({"emails": [{"value": "a@x"}, {"value": "b@x"}]}, "a@x"),
        ({"emails": [], "user_name": "ana@x"}, "ana@x"),
        ({"emails": [], "user_name": "ana"}, ""),
    ],
)
def test_a_user_is_shown_with_the_email_of_the_account_that_follows(user, email):
    """PRODUCT 2: "the user's primary e-mail, else the first, else a userName that is one"."""
    assert user_document(user_pb2.User(**user))["email"] == email
