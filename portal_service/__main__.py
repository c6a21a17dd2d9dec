"""`python -m portal_service serve | migrate`: the process of the portal service, configured by `PORTAL_*`."""

from __future__ import annotations

import sys

import uvloop

from chassis import logging, migrations, telemetry
from chassis.auth import CredentialsFileError
from chassis.database import DatabaseUnavailable
from chassis.migrations import SchemaMismatch
from portal_service.server import PortalServer
from portal_service.settings import DatabaseSettings, PortalSettings
from portal_service.tables import MIGRATIONS

COMMANDS = ("serve", "migrate")


def main(arguments: list[str]) -> int:
    """Runs one command; returns 0 when done, 1 when refused with one line on standard error, 2 for wrong usage."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"usage: python -m portal_service {' | '.join(COMMANDS)}", file=sys.stderr)
        return 2
    settings = (PortalSettings if arguments[0] == "serve" else DatabaseSettings).load()
    logging.configure("portal", level=settings.log_level, format=settings.log_format)
    try:
        if isinstance(settings, PortalSettings):
            telemetry.configure("portal", settings.otlp_endpoint)
            uvloop.run(PortalServer(settings).serve())
        else:
            migrations.upgrade(settings.database_url, MIGRATIONS)
    except (CredentialsFileError, DatabaseUnavailable, OSError, SchemaMismatch) as error:
        print(f"rollcall: {error}", file=sys.stderr)
        return 1
    finally:
        telemetry.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
