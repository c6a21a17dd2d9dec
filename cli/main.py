"""The `rollcall` command: one noun per module, exit status 0 done, 1 refused, 2 usage."""

import io
import os
import sys
from collections.abc import Sequence

from typer.exceptions import TyperException

from cli import (
    admin,
    audit,
    backup,
    collaborator,
    connection,
    deadletter,
    device,
    effects,
    employee,
    events,
    group,
    log,
    mapping,
    policy,
    publication,
    reconcile,
    rules,
    segment,
    token,
    up,
    user,
    verify,
    workspace,
)
from cli.command import root
from cli.errors import Misuse, Refused
from cli.output import printable

app = root(help="Rollcall: SCIM provisioning for dashboards, stores and devices. Every command has --json.")
up.register(app)
app.add_typer(workspace.app)
app.add_typer(connection.app)
app.add_typer(token.app)
app.add_typer(rules.app)
app.add_typer(mapping.app)
app.add_typer(user.app)
app.add_typer(group.app)
app.add_typer(collaborator.app)
app.add_typer(employee.app)
app.add_typer(publication.app)
app.add_typer(policy.app)
app.add_typer(device.app)
app.add_typer(segment.app)
effects.register(app)
app.add_typer(log.app)
audit.register(app)
app.add_typer(admin.app)
app.add_typer(deadletter.app)
reconcile.register(app)
verify.register(app)
app.add_typer(events.app)
backup.register(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status: 0 done, 1 refused, 2 usage, 130 interrupted."""
    try:
        result = app(args=list(arguments), prog_name="rollcall", standalone_mode=False)
    except Refused as error:
        return _fail(str(error), 1)
    except Misuse as error:
        return _fail(str(error), 2)
    except TyperException as error:
        return _usage(error)
    except UnicodeEncodeError:
        # Bytes of the command line that are no text reach Python as lone surrogates, and no message can hold those.
        return _fail("the command line holds bytes that are not UTF-8", 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def _usage(error: TyperException) -> int:
    message = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    # A noun without a verb has printed its help already, and says nothing more.
    if not message:
        return error.exit_code
    context = getattr(error, "ctx", None)
    path = "rollcall" if context is None else context.command_path
    return _fail(f"{message}; see `{path} --help`", error.exit_code)


def _fail(message: str, status: int) -> int:
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status


def main() -> None:
    """The entry point of the `rollcall` script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is shown escaped; it is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
