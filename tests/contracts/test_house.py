"""The rules of the house that tools can see."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked() -> list[Path]:
    """Every file of the tree that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout.split("\n")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_the_walls_between_packages_hold() -> None:
    """HOUSE: "`scim` imports nothing of ours; `chassis` knows no service; services meet only through `protos/`"."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_lock_files_pin_with_hashes_and_name_no_address() -> None:
    """A lock file holds `name==version` with hashes, and nothing about where packages come from."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text()
        assert "://" not in text, lock.name
        pins = re.findall(r"^([A-Za-z0-9_.\[\]-]+)==\S+( \\)?$", text, re.MULTILINE)
        assert pins, lock.name
        assert [name for name, continued in pins if not continued] == [], lock.name


def test_no_module_has_a_name_that_says_nothing() -> None:
    """HOUSE: "no `utils`, `manager`, `helper`, `base`, `common`"."""
    names = {"utils", "util", "manager", "helper", "helpers", "base", "common"}
    assert [str(path.relative_to(ROOT)) for path in tracked() if path.suffix == ".py" and path.stem in names] == []


def test_every_module_says_why_it_exists() -> None:
    """A newcomer knows from a file's first docstring why it is there."""
    silent = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix == ".py"
        and "_pb2" not in path.name
        and not (path.name == "__init__.py" and not path.read_text().strip())
        and not path.read_text().lstrip().startswith(('"""', "#!"))
    ]
    assert silent == []


def test_a_process_without_a_database_loads_none() -> None:
    """PRODUCT: "The gateway speaks SCIM over HTTP and nothing else"; what it never uses costs start and memory."""
    loaded = (
        "import sys, gateway.app, console.app; print(sorted({'sqlalchemy', 'psycopg', 'alembic'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout == "[]\n"
