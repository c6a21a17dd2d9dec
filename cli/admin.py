"""`rollcall admin`: the accounts of the people who administer in the console."""

import sys
from typing import Annotated

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.errors import Misuse
from cli.output import document, documents

app = noun("admin", "Accounts of the people who administer in the console.")

EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="The account: its e-mail address or its id.")]


@command(app, "create")
def create(
    session: Session,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The e-mail address to sign in with.")],
    name: Annotated[str, typer.Option(metavar="N", help="The name, shown to other administrators.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin, up to the end of its first line.")
    ] = False,
    no_password: Annotated[
        bool,
        typer.Option("--no-password", help="Without a password: for a link or an OpenID provider to sign in with."),
    ] = False,
) -> None:
    """Create an account; the password is asked for, 12 characters or more."""
    if password_stdin and no_password:
        raise Misuse("--password-stdin and --no-password exclude each other; see `rollcall admin create --help`")
    password = "" if no_password else _password(from_stdin=password_stdin)
    request = contract.administrators.CreateAdministratorRequest(email=email, name=name, password=password)
    session.show(document(session.services.administrators.call("CreateAdministrator", request).administrator))


@command(app, "list")
def list_administrators(session: Session) -> None:
    """List accounts by e-mail address."""
    request = contract.administrators.ListAdministratorsRequest()
    rows = documents(session.services.administrators.pages("ListAdministrators", request, "administrators"))
    columns = ("email", "name", "state", "last_sign_in_time", "administrator_id")
    session.table(rows, columns, empty="No administrators yet; make one with `rollcall admin create EMAIL`.")


@command(app, "disable")
def disable(session: Session, email: EmailArgument) -> None:
    """Disable an account; its sessions end at once."""
    request = contract.administrators.DisableAdministratorRequest(administrator_id=_id(session, email))
    session.show(document(session.services.administrators.call("DisableAdministrator", request).administrator))


@command(app, "enable")
def enable(session: Session, email: EmailArgument) -> None:
    """Enable a disabled account."""
    request = contract.administrators.EnableAdministratorRequest(administrator_id=_id(session, email))
    session.show(document(session.services.administrators.call("EnableAdministrator", request).administrator))


@command(app, "link")
def link(
    session: Session,
    email: Annotated[
        str, typer.Argument(metavar="[EMAIL]", help="The account that chooses a new password; without it, a new one.")
    ] = "",
) -> None:
    """Make a link that works once within 24 hours: to create an account, or to choose a new password for one."""
    console_url = session.services.console_url
    administrator_id = _id(session, email) if email else ""
    request = contract.administrators.CreateSignInLinkRequest(administrator_id=administrator_id)
    made = document(session.services.administrators.call("CreateSignInLink", request))
    session.show({"url": link_url(console_url, made["link_token"]), "expire_time": made["expire_time"]})


def link_url(console_url: str, token: str) -> str:
    """The address in the console that a link's token is good for."""
    return f"{console_url}/sign-in/link/{token}"


def _id(session: Session, email: str) -> str:
    request = contract.administrators.GetAdministratorRequest(administrator=email)
    found = session.services.administrators.call("GetAdministrator", request).administrator
    return str(found.administrator_id)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Misuse("the password is asked for on a terminal; give it with --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
