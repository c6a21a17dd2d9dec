"""`rollcall admin`, and the console as `rollcall up` runs it."""

import io
import json
import secrets
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Cli, Up, eventually
from tests.cli.test_up import refused
from tests.loopback import NO_TLS

PASSWORD = "correct horse battery"


def address() -> str:
    """An e-mail address that no other test has."""
    return f"{secrets.token_hex(6)}@example.com"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """What stdin holds."""

    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return give


def test_an_administrator_is_made_listed_disabled_and_enabled(cli: Cli, typed) -> None:
    """The rule: "`rollcall admin create EMAIL [--name N]`, `admin list`, `admin disable EMAIL`, `admin enable`"."""
    typed(f"{PASSWORD}\nnot the password\n")
    email = address()
    made = cli.json("admin", "create", email, "--name", "Ada", "--password-stdin")
    assert (made["email"], made["name"], made["state"], made["has_password"]) == (email, "Ada", "ENABLED", True)
    cli.json("admin", "create", address(), "--no-password")
    assert made in cli.json("admin", "list")
    assert email in cli("admin", "list").out
    assert cli.json("admin", "disable", email)["state"] == "DISABLED"
    assert cli.json("admin", "enable", made["administrator_id"])["state"] == "ENABLED"


def test_a_password_is_asked_for_on_a_terminal_alone(cli: Cli, typed) -> None:
    """SECURITY: secrets are "never from the command line"."""
    typed(PASSWORD)
    assert "--password-stdin" in cli("admin", "create", address()).misuse
    assert "exclude each other" in cli("admin", "create", address(), "--password-stdin", "--no-password").misuse


def test_a_refusal_names_the_field(cli: Cli, typed) -> None:
    """House: "clear, specific, name the field and the rule"."""
    typed("short\n")
    refusal = cli("admin", "create", address(), "--password-stdin").refusal
    assert refusal == "password: must have 12 to 1,000 characters"
    typed(PASSWORD)
    assert "email: " in cli("admin", "create", "ada", "--password-stdin").refusal
    assert "not found" in cli("admin", "disable", address()).refusal


def test_a_link_leads_to_the_console_of_the_stack(cli: Cli, stack: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule: "`admin link`": a one-time link, to a new account or to an account's new password."""
    console = stack.stack()["console_url"]
    made = cli.json("admin", "link")
    assert made["url"].startswith(f"{console}/sign-in/link/")
    assert "Create your account" in eventually(lambda: page(made["url"]), what="the console")
    email = address()
    cli.json("admin", "create", email, "--no-password")
    assert email in page(cli.json("admin", "link", email)["url"])
    monkeypatch.setenv("ROLLCALL_CONSOLE_URL", "https://console.example.com/")
    assert cli.json("admin", "link")["url"].startswith("https://console.example.com/sign-in/link/")


def test_without_a_console_there_is_nowhere_for_a_link_to_lead(tmp_path: Path, cli: Cli) -> None:
    """One clear line that says what to do."""
    path = cli.up.data_dir / "stack.json"
    stack = json.loads(path.read_text())
    del stack["console_url"]
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    (tmp_path / "credentials.json").write_bytes((cli.up.data_dir / "credentials.json").read_bytes())
    cli.up.data_dir, before = tmp_path, cli.up.data_dir
    try:
        assert "ROLLCALL_CONSOLE_URL" in cli("admin", "link").refusal
    finally:
        cli.up.data_dir = before


def test_the_console_s_port_in_use_is_told_before_anything_starts(stack: Up, tmp_path: Path) -> None:
    """The rule: "free-port rules as for `--port`; a port in use is one clear line"."""
    port = stack.url.rpartition(":")[2]
    line = refused(tmp_path / "other", "--port", "0", "--console-port", port)
    assert line == f"error: port {port} on 127.0.0.1 is in use; choose another with --console-port\n"
    assert not (tmp_path / "other" / "nats.conf").exists()


def page(url: str) -> str:
    """The text of a page; empty while nothing answers."""
    try:
        return httpx.get(url, timeout=10, verify=NO_TLS).text
    except httpx.HTTPError:
        return ""
