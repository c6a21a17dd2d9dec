"""`python -m console`: gunicorn with the configuration beside this file and the settings of the environment."""

import sys
from pathlib import Path

from gunicorn.app.wsgiapp import WSGIApplication  # type: ignore[import-untyped]

from chassis.auth import CredentialsFileError, own_secret
from chassis.identity import CONSOLE
from console.settings import ConsoleSettings

CONFIGURATION = Path(__file__).with_name("gunicorn.conf.py")


def main() -> None:
    """Refuse to start without what the worker would need, then serve until told to stop."""
    settings = ConsoleSettings.load()
    try:
        own_secret(settings, CONSOLE)
    except CredentialsFileError as error:
        print(f"rollcall: CONSOLE_CREDENTIALS_FILE: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    sys.argv = ["gunicorn", "--config", str(CONFIGURATION)]
    WSGIApplication("%(prog)s [OPTIONS]").run()


if __name__ == "__main__":
    main()
