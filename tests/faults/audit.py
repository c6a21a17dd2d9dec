"""A record, kept by the databases themselves, of the order in which consumers applied events.

The tables of a consumer say what was applied, and of each resource the last version. Triggers of the tests' own also
keep in which order: a witness that the services cannot influence.
"""

from __future__ import annotations

import sqlite3

import psycopg

_SQLITE = """
CREATE TABLE IF NOT EXISTS fault_audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, aggregate_id TEXT, version INTEGER
);
CREATE TRIGGER IF NOT EXISTS fault_audit_inbox AFTER INSERT ON inbox WHEN NEW.disposition = 'APPLIED' BEGIN
    INSERT INTO fault_audit (what, aggregate_id, version) VALUES ('applied', NEW.aggregate_id, NEW.version);
END;
CREATE TRIGGER IF NOT EXISTS fault_audit_versions_new AFTER INSERT ON applied_versions BEGIN
    INSERT INTO fault_audit (what, aggregate_id, version) VALUES ('version', NEW.aggregate_id, NEW.version);
END;
CREATE TRIGGER IF NOT EXISTS fault_audit_versions AFTER UPDATE ON applied_versions BEGIN
    INSERT INTO fault_audit (what, aggregate_id, version) VALUES ('version', NEW.aggregate_id, NEW.version);
END;
"""

_POSTGRESQL = """
CREATE TABLE IF NOT EXISTS fault_audit (
    position bigserial PRIMARY KEY, what text, aggregate_id text, version bigint
);
CREATE OR REPLACE FUNCTION fault_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fault_audit (what, aggregate_id, version) VALUES (TG_ARGV[0], NEW.aggregate_id, NEW.version);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER fault_audit_inbox AFTER INSERT ON inbox
    FOR EACH ROW WHEN (NEW.disposition = 'APPLIED') EXECUTE FUNCTION fault_audit('applied');
CREATE OR REPLACE TRIGGER fault_audit_versions AFTER INSERT OR UPDATE ON applied_versions
    FOR EACH ROW EXECUTE FUNCTION fault_audit('version');
"""


def install_audit(url: str) -> None:
    """Create the table `fault_audit` and its triggers in a consumer's database; safe to repeat."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
        try:
            connection.executescript(_SQLITE)
        finally:
            connection.close()
        return
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as database:
        database.execute(_POSTGRESQL)
