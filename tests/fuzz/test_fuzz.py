"""Coverage-guided fuzzing with a fixed seed and budget; `make fuzz` goes on for longer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import seeds
from tests.fuzz.parsers import PARSERS
from tests.fuzz.server import Server, check_answer

ROOT = Path(__file__).resolve().parents[2]

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris has no wheel for this platform; the hypothesis tests beside this one still run",
)


@needs_atheris
@pytest.mark.parametrize(
    ("target", "runs"), [("filter", 10_000), ("path", 10_000), ("patch", 15_000), ("body", 5000), ("request", 200)]
)
def test_a_fuzzer_led_by_coverage_finds_only_scim_errors(target: str, runs: int, tmp_path: Path) -> None:
    """RFC 7644 §3.12: errors are told "in the body of the response in a JSON format"; nothing ever fails otherwise."""
    seeds.write(target, tmp_path / target, tmp_path / f"{target}.dict")
    command = [sys.executable, "-m", "tests.fuzz.harness", target, str(tmp_path / target), "-seed=1", f"-runs={runs}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=110)
    assert result.returncode == 0, result.stderr[-6000:]
    # The seeds are run first, all of them, be they more than the runs asked for.
    assert int(result.stderr.rpartition("Done ")[2].split()[0]) >= runs
    coverage = int(result.stderr.rpartition("DONE   cov: ")[2].split()[0])
    assert coverage > 100, "the fuzzer does not see what is executed"


@needs_atheris
def test_the_fuzzer_would_notice_an_exception(tmp_path: Path) -> None:
    """A finding ends the run: what is no SCIM error is one."""
    seeds.write("filter", tmp_path / "filter", tmp_path / "filter.dict")
    script = (
        "import pathlib, sys, tests.fuzz.harness as harness\n"
        "def broken(data):\n"
        "    if b'[' in data: raise IndexError('found')\n"
        "harness.target_of = lambda name, stack: broken\n"
        "harness.main('filter', pathlib.Path(sys.argv[1]), ['-seed=1', '-runs=2000'])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "filter")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=110)
    assert result.returncode != 0
    assert "IndexError: found" in result.stdout + result.stderr


@pytest.mark.parametrize("target", sorted(PARSERS))
def test_what_identity_providers_send_passes_the_fuzzed_properties(target: str) -> None:
    """WIRE: "a recorded request first": each is a seed, and holds to the properties without a fuzzer as well."""
    found = seeds.of(target)
    assert len(found) >= 10
    for text in found:
        PARSERS[target](text)


def test_recorded_requests_reach_what_they_are_about(tmp_path: Path) -> None:
    """The seeds of whole requests are good ones: most are carried out, so fuzzing starts beyond the first check."""
    server = Server(tmp_path)
    try:
        statuses = []
        for text in seeds.of("request"):
            method, target, headers, body = server.parse(text)
            status, answered, content = server.send(method, target, headers, body)
            check_answer(method, status, answered, content)
            statuses.append(status)
        assert sum(200 <= status < 300 for status in statuses) > 0.7 * len(statuses)
        assert len(statuses) >= 100
    finally:
        server.close()
