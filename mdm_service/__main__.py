"""The MDM process: `python -m mdm_service serve` or `migrate`."""

import sys

import uvloop

from chassis import logging as process_logging
from chassis import migrations
from chassis.auth import CredentialsFileError
from chassis.database import DatabaseUnavailable
from chassis.migrations import SchemaMismatch
from mdm_service.server import serve
from mdm_service.settings import DatabaseSettings, MdmSettings
from mdm_service.tables import MIGRATIONS

USAGE = "usage: python -m mdm_service serve|migrate"


def main(arguments: list[str]) -> int:
    """Run a command; answers the exit code: 0 done, 1 refused with one clear line, 2 usage or settings."""
    if arguments not in (["serve"], ["migrate"]):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        if arguments == ["migrate"]:
            settings = DatabaseSettings.load()
            process_logging.configure("mdm", level=settings.log_level, format=settings.log_format)
            migrations.upgrade(settings.database_url, MIGRATIONS)
        else:
            serving = MdmSettings.load()
            process_logging.configure("mdm", level=serving.log_level, format=serving.log_format)
            uvloop.run(serve(serving))
    except (SchemaMismatch, CredentialsFileError, DatabaseUnavailable, OSError) as error:
        print(f"rollcall: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
