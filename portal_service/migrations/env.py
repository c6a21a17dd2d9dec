"""Alembic's entry to this schema."""

from chassis.migrations import run_env
from portal_service.tables import PortalTable

run_env(PortalTable.metadata)
