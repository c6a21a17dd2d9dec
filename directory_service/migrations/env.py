"""Alembic environment of the directory's database."""

from chassis.migrations import run_env
from directory_service.tables import METADATA

run_env(METADATA)
