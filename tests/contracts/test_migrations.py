"""Migrations expand, and contract only what an earlier one has replaced: processes of two releases share a database."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICES = ("directory_service", "portal_service", "mdm_service")

# What takes away something that a process of the release before may still use.
CONTRACTING = frozenset(
    {"drop_table", "drop_column", "rename_table", "create_check_constraint", "create_unique_constraint"}
)


def revisions(service: str) -> list[Path]:
    """The migrations of a service, oldest first."""
    return sorted((REPOSITORY / service / "migrations" / "versions").glob("[0-9]*.py"))


def contractions(source: str) -> list[str]:
    """Name each step of a migration's `upgrade` that the release before it would trip over.

    That is what is dropped, renamed or retyped; what becomes required, which older processes do not know to give; and
    statements of its own, which nobody can judge. A table that the same migration creates is nobody's yet.
    """
    tree = ast.parse(source)
    (upgrade,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade"]
    calls = [node for node in ast.walk(upgrade) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    created = {_text(call, 0) for call in calls if _name(call) == "create_table"}
    found = []
    for call in calls:
        name, table = _name(call), _text(call, 0)
        if (name in CONTRACTING and table not in created) or (
            name == "alter_column"
            and any(word.arg in ("nullable", "type_", "new_column_name") for word in call.keywords)
        ):
            found.append(f"{name} {table}")
        elif name == "add_column" and _is_required(call):
            found.append(f"{name} {table}: required, without a server_default")
        elif name == "execute" and not _is_harmless(call):
            found.append("execute")
    return found


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _text(call: ast.Call, position: int) -> str:
    argument = call.args[position] if len(call.args) > position else None
    return str(argument.value) if isinstance(argument, ast.Constant) else ""


def _is_required(call: ast.Call) -> bool:
    for column in (node for node in ast.walk(call) if isinstance(node, ast.Call) and _name(node) == "Column"):
        words = {word.arg: word.value for word in column.keywords}
        nullable = words.get("nullable")
        is_nullable = isinstance(nullable, ast.Constant) and nullable.value is True
        if not is_nullable and "server_default" not in words:
            return True
    return False


def _is_harmless(call: ast.Call) -> bool:
    text = " ".join(str(node.value) for node in ast.walk(call) if isinstance(node, ast.Constant)).strip().upper()
    return text.startswith(("CREATE INDEX", "INSERT ", "UPDATE "))


def declared(source: str) -> str:
    """The revision whose expansion a migration says that it completes: `CONTRACTS = "0003"`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["CONTRACTS"]:
            return str(ast.literal_eval(node.value))
    return ""


REQUIRED = "add_column t: required, without a server_default"


@pytest.mark.parametrize("service", SERVICES)
def test_a_migration_takes_nothing_away_that_the_release_before_it_uses(service: str) -> None:
    """The rule of upgrades: "migrations are expand/contract"."""
    paths = revisions(service)
    assert paths
    # The first one makes everything; nobody used it before.
    for number, path in enumerate(paths[1:], start=1):
        source = path.read_text()
        found = contractions(source)
        if found:
            earlier = {before.name.partition("_")[0] for before in paths[:number]}
            assert declared(source) in earlier, f"{path.name} takes away: {found}; CONTRACTS names no earlier revision"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('op.create_table("t", sa.Column("id", sa.Text, nullable=False))\n    op.create_index("i", "t", ["id"])', []),
        ('op.add_column("t", sa.Column("a", sa.Text, nullable=True))', []),
        ('op.add_column("t", sa.Column("a", sa.Text, nullable=False, server_default=""))', []),
        ('op.execute("UPDATE t SET a = b WHERE a IS NULL")', []),
        ('op.add_column("t", sa.Column("a", sa.Text, nullable=False))', [REQUIRED]),
        ('op.add_column("t", sa.Column("a", sa.Text))', [REQUIRED]),
        ('op.drop_column("t", "a")', ["drop_column t"]),
        ('op.drop_table("t")', ["drop_table t"]),
        ('op.rename_table("t", "u")', ["rename_table t"]),
        ('op.alter_column("t", "a", nullable=False)', ["alter_column t"]),
        ('op.alter_column("t", "a", new_column_name="b")', ["alter_column t"]),
        ('with op.batch_alter_table("t") as batch:\n        batch.drop_column("a")', ["drop_column a"]),
        ('op.execute("ALTER TABLE t DROP COLUMN a")', ["execute"]),
    ],
)  # fmt: skip
def test_what_takes_something_away_is_told(body: str, found: list[str]) -> None:
    """Each kind of step is seen for what it is."""
    assert contractions(f"def upgrade() -> None:\n    {body}\n") == found


def test_a_contraction_names_the_expansion_that_it_completes() -> None:
    """First a release that writes both, then one that drops the old."""
    assert declared('revision = "0004"\nCONTRACTS = "0003"\n') == "0003"
    assert declared('revision = "0004"\n') == ""
