"""The service keeps the contract: every method is served, every reason has its error, the schema is the migrations'."""

from __future__ import annotations

import inspect

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from rollcall.mdm.v1 import errors_pb2, mdm_service_pb2

from chassis import migrations
from chassis.auth import ADMIN, CONSOLE, GATEWAY, MDM, PORTAL
from chassis.errors import DomainError
from chassis.paging import InvalidPageToken
from mdm_service import access, devices, errors, rules, segments
from mdm_service.domain import accounts
from mdm_service.servicers.mdm import MdmServicer
from mdm_service.settings import MdmSettings
from mdm_service.tables import MIGRATIONS, MdmTable


def leaves() -> list[type[errors.MdmError]]:
    """The errors that are raised: those with a reason."""
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.MdmError) and "reason" in vars(kind)
    ]


def test_every_method_is_served() -> None:
    """protos are the contract: no method is left to the generated UNIMPLEMENTED."""
    service = mdm_service_pb2.DESCRIPTOR.services_by_name["MdmService"]
    assert {method.name for method in service.methods} <= set(vars(MdmServicer))


def test_every_reason_has_one_error_and_every_error_a_reason() -> None:
    """errors.proto: "the `reason` of `google.rpc.ErrorInfo` is a name of this enum without its prefix"."""
    reasons = [kind.reason for kind in leaves()] + [InvalidPageToken.reason]
    names = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert sorted(reasons) == sorted(names)
    assert all(kind.domain == "mdm.rollcall" and issubclass(kind, DomainError) for kind in leaves())


def test_every_error_has_the_code_that_the_contract_states() -> None:
    """errors.proto: each comment ends with the status code."""
    expected = {
        "NOT_FOUND": {name for name in (kind.reason for kind in leaves()) if name.endswith("NOT_FOUND")},
        "ALREADY_EXISTS": {"POLICY_EXISTS", "DEVICE_EXISTS", "SEGMENT_EXISTS"},
        "FAILED_PRECONDITION": {"WRONG_PORTAL", "POLICY_IN_USE", "DEVICE_REMOVED", "DEVICE_COMMAND_REPORTED"},
        "INVALID_ARGUMENT": {"INVALID_VALUE"},
        "UNAVAILABLE": {"DIRECTORY_UNAVAILABLE"},
    }
    actual: dict[str, set[str]] = {}
    for kind in leaves():
        actual.setdefault(kind.code.name, set()).add(kind.reason)
    assert actual == expected


def test_enumerations_of_the_contract_are_wholly_known() -> None:
    """An enum value that the contract gains must not be refused for want of a line here."""
    assert set(rules.ON_CREATE) == set(mdm_service_pb2.OnCreate.values()) - {0}
    assert set(segments.PERMISSIONS) == set(mdm_service_pb2.SegmentPermission.values()) - {0}
    comment = "ios, ipados, macos, android, windows, chromeos, linux, tvos"
    assert ", ".join(devices.PLATFORMS) == comment


def test_administrators_may_do_everything_and_services_only_read() -> None:
    """SECURITY: "Internal callers authenticate … (… allowed methods, default deny); admin methods need an admin"."""
    policy = access.policy()
    for service in access.SERVICES:
        for method in service.methods:
            allowed = policy.allowed(f"/{service.full_name}/{method.name}")
            reads = method.name.startswith(("Get", "List"))
            person = {ADMIN} if method.name in ("Reconcile", "Verify", "ReportDeviceCommand") else {ADMIN, CONSOLE}
            assert allowed == (person | {PORTAL, GATEWAY} if reads else person)
            assert MDM not in allowed
    assert policy.allowed("/rollcall.directory.v1.DirectoryService/GetUser") == frozenset()


def test_the_migrations_make_the_tables_that_the_code_declares(mdm_url: str) -> None:
    """HOUSE: tables.py declares, migrations make: no difference."""
    engine = sa.create_engine(mdm_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, MdmTable.metadata) == []
    engine.dispose()


def test_every_table_of_a_tenant_says_whose_it_is() -> None:
    """SECURITY: "tenant columns NOT NULL; fail closed"."""
    delivery = {"inbox", "applied_versions", "dead_letters", "partition_leases"}
    for table in MdmTable.metadata.tables.values():
        if table.name not in delivery:
            assert not table.c.workspace_id.nullable, table.name


def test_the_schema_can_be_taken_down_and_put_up_again(database_url: str) -> None:
    """A migration is a step that has a way back."""
    from alembic import command
    from alembic.config import Config

    migrations.upgrade(database_url, MIGRATIONS)
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert set(sa.inspect(connection).get_table_names()) <= {"alembic_version"}
    engine.dispose()
    migrations.upgrade(database_url, MIGRATIONS)
    migrations.check(database_url, MIGRATIONS)


def test_a_setting_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SECURITY: "without a secret a production process refuses to start"."""
    for name in ("DATABASE_URL", "NATS_URL", "CREDENTIALS_FILE", "DIRECTORY_TARGET", "ADDRESS"):
        monkeypatch.delenv(f"MDM_{name}", raising=False)
    with pytest.raises(SystemExit) as stopped:
        MdmSettings.load()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    for name in ("MDM_DATABASE_URL", "MDM_NATS_URL", "MDM_DIRECTORY_TARGET", "MDM_ADDRESS"):
        assert f"rollcall: {name}: is required" in told
    # What depends on other settings is looked at once those are there.
    for name, value in (
        ("DATABASE_URL", "sqlite:///mdm.db"),
        ("NATS_URL", "nats://127.0.0.1:4222"),
        ("DIRECTORY_TARGET", "127.0.0.1:1"),
        ("ADDRESS", "127.0.0.1:0"),
    ):
        monkeypatch.setenv(f"MDM_{name}", value)
    with pytest.raises(SystemExit) as stopped:
        MdmSettings.load()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "rollcall: MDM_CREDENTIALS_FILE: is required, or TLS_IDENTITIES\n"


@pytest.mark.parametrize("text", ["a@b", "ada.lovelace+x@example.org", "ü@ö.test"])
def test_an_address_is_something_at_something(text: str) -> None:
    """PRODUCT §2: a userName may be an e-mail address."""
    assert accounts.is_email(text)


@pytest.mark.parametrize("text", ["", "ada", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "a\0@b", "a" * 250 + "@b.cd"])
def test_anything_else_is_no_address(text: str) -> None:
    """PRODUCT §2: "else a userName that is one"."""
    assert not accounts.is_email(text)
