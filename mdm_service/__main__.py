"""The MDM process: `python -m mdm_service serve`, `migrate` or `resend`.

`resend` is for a stream that was lost: commands that no device has reported on are published once more.
"""

import asyncio
import sys

import uvloop

from chassis import logging as process_logging
from chassis import migrations, telemetry
from chassis.auth import CredentialsFileError
from chassis.database import Database, DatabaseUnavailable
from chassis.migrations import SchemaMismatch
from chassis.tenancy import across_tenants
from mdm_service import repository
from mdm_service.server import serve
from mdm_service.settings import DatabaseSettings, MdmSettings
from mdm_service.tables import MIGRATIONS

USAGE = "usage: python -m mdm_service serve|migrate|resend"


def main(arguments: list[str]) -> int:
    """Run a command; answers the exit code: 0 done, 1 refused with one clear line, 2 usage or settings."""
    if arguments not in (["serve"], ["migrate"], ["resend"]):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        if arguments != ["serve"]:
            settings = DatabaseSettings.load()
            process_logging.configure("mdm", level=settings.log_level, format=settings.log_format)
            if arguments == ["migrate"]:
                migrations.upgrade(settings.database_url, MIGRATIONS)
            else:
                print(f"{asyncio.run(resend(settings))} commands will be published once more")
        else:
            serving = MdmSettings.load()
            process_logging.configure("mdm", level=serving.log_level, format=serving.log_format)
            telemetry.configure("mdm", serving.otlp_endpoint)
            uvloop.run(serve(serving))
    except (SchemaMismatch, CredentialsFileError, DatabaseUnavailable, OSError) as error:
        print(f"rollcall: {error}", file=sys.stderr)
        return 1
    finally:
        telemetry.shutdown()
    return 0


async def resend(settings: DatabaseSettings) -> int:
    """Have the commands that no device has reported on published once more; return how many.

    Raises DatabaseUnavailable.
    """
    db = Database(settings.database_url, name="mdm", readers=1)
    await db.start()
    try:
        return await across_tenants(lambda: db.write(repository.resend_pending_commands))
    finally:
        await db.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
