"""Client profiles: in which dialects requests came on a connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rollcall.directory.v1 import connection_service_pb2 as pb
from sqlalchemy import BigInteger, Executable, String, bindparam, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Transaction
from directory_service.repository.times import timestamp
from directory_service.tables import CLIENT_PROFILES, CONNECTIONS


@dataclass(slots=True)
class Sight:
    """Requests of one dialect on one connection: the times of the first and last, and how many."""

    first_ms: int
    last_ms: int
    count: int


def _add() -> dict[str, Executable]:
    """Return, by dialect of SQL, what adds sights to a profile, and does nothing for a connection that is gone."""
    statements: dict[str, Executable] = {}
    columns = ("connection_id", "dialect", "first_seen_ms", "last_seen_ms", "request_count")
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        row = select(
            CONNECTIONS.c.id,
            bindparam("in_dialect", type_=String()),
            bindparam("first_ms", type_=BigInteger()),
            bindparam("last_ms", type_=BigInteger()),
            bindparam("more", type_=BigInteger()),
        ).where(CONNECTIONS.c.id == bindparam("of_connection"))
        statement = dialect.insert(CLIENT_PROFILES).from_select(columns, row)
        new, old = statement.excluded, CLIENT_PROFILES.c
        statements[name] = statement.on_conflict_do_update(
            index_elements=["connection_id", "dialect"],
            set_={
                "first_seen_ms": case(
                    (new.first_seen_ms < old.first_seen_ms, new.first_seen_ms), else_=old.first_seen_ms
                ),
                "last_seen_ms": case((new.last_seen_ms > old.last_seen_ms, new.last_seen_ms), else_=old.last_seen_ms),
                "request_count": old.request_count + new.request_count,
            },
        )
    return statements


_ADD = _add()


def add_sights(tx: Transaction, sights: Mapping[tuple[str, str], Sight]) -> None:
    """Add to (connection, dialect) what was seen, in one order of locks; a connection that is gone is passed over."""
    rows = [
        {
            "of_connection": connection_id,
            "in_dialect": dialect,
            "first_ms": sight.first_ms,
            "last_ms": sight.last_ms,
            "more": sight.count,
        }
        for (connection_id, dialect), sight in sorted(sights.items(), key=lambda item: item[0])
    ]
    if rows:
        tx.execute(_ADD[tx.dialect], rows)


def profiles_of(tx: Transaction, connection_ids: Sequence[str]) -> dict[str, list[pb.ClientProfile]]:
    """Return the profiles of connections, by connection, each by first sight."""
    profiles: dict[str, list[pb.ClientProfile]] = {connection_id: [] for connection_id in connection_ids}
    statement = (
        select(CLIENT_PROFILES)
        .where(CLIENT_PROFILES.c.connection_id.in_(connection_ids))
        .order_by(CLIENT_PROFILES.c.first_seen_ms, CLIENT_PROFILES.c.dialect)
    )
    for row in tx.execute(statement) if connection_ids else ():
        profiles[row.connection_id].append(
            pb.ClientProfile(
                dialect=f"CLIENT_DIALECT_{row.dialect}",
                first_seen_time=timestamp(row.first_seen_ms),
                last_seen_time=timestamp(row.last_seen_ms),
                request_count=row.request_count,
            )
        )
    return profiles


def delete_profiles(tx: Transaction, connection_id: str) -> None:
    """Forget the profiles of a connection."""
    tx.execute(delete(CLIENT_PROFILES).where(CLIENT_PROFILES.c.connection_id == connection_id))
