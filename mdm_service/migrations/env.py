"""The Alembic environment of the MDM service's schema."""

from chassis.migrations import run_env
from mdm_service.tables import MdmTable

run_env(MdmTable.metadata)
