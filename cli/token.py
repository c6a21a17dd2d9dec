"""`rollcall token`: the bearer tokens of a connection."""

from datetime import timedelta
from typing import Annotated, Literal

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import document, documents
from cli.parameters import ConnectionArgument, duration_option

app = noun("token", "Bearer tokens of a connection; two may live at once, so that rotation has no gap.")

_ExpiresIn = Annotated[
    timedelta | None, duration_option("--expires-in", help="How long it lives, such as 365d or 1h; default 365d.")
]


@command(app, "issue")
def issue(
    session: Session,
    connection: ConnectionArgument,
    expires_in: _ExpiresIn = None,
    scope: Annotated[
        Literal["read", "write"], typer.Option(case_sensitive=False, help="What the token may do.")
    ] = "write",
) -> None:
    """Issue a token; it is shown this once."""
    request = contract.connections.IssueTokenRequest(
        connection_id=connection, scope=f"TOKEN_SCOPE_{scope.upper()}", expires_in=expires_in
    )
    response = session.services.connections.call("IssueToken", request)
    session.show(
        {**document(response.details), "token": response.token},
        hide=("last_used_time", "revoked_time"),
    )


@command(app, "list")
def list_tokens(session: Session, connection: ConnectionArgument) -> None:
    """List a connection's tokens, newest first, never their secrets."""
    request = contract.connections.ListTokensRequest(connection_id=connection)
    rows = documents(session.services.connections.call("ListTokens", request).tokens)
    columns = ("token_id", "scope", "created_time", "expire_time", "last_used_time", "revoked_time")
    session.table(rows, columns, empty="No tokens.")


@command(app, "revoke")
def revoke(
    session: Session,
    connection: ConnectionArgument,
    token_id: Annotated[str, typer.Argument(metavar="TOKEN_ID", help="The token's id, as `token list` shows it.")],
) -> None:
    """Revoke a token; it stops working within a second."""
    request = contract.connections.RevokeTokenRequest(connection_id=connection, token_id=token_id)
    session.show(document(session.services.connections.call("RevokeToken", request).token))
