"""The README's commands, run as they stand, against the system that its first command starts."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


class Up:
    """`make up` in a process group of its own, with a data directory and a port of its own."""

    def __init__(self, data_dir: Path, *extra: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        arguments = " ".join(["--data-dir", str(data_dir), "--port", str(self.port), "--console-port", "0", *extra])
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", "up", f"ARGS={arguments}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._queue: Queue[str | None] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, wanted: str, timeout: float = 60) -> None:
        """Read lines until one equals `wanted`."""
        try:
            while (line := self._queue.get(timeout=timeout)) is not None:
                self.lines.append(line)
                if line == wanted:
                    return
        except Empty:
            pass
        pytest.fail(f"never printed {wanted!r}:\n" + "\n".join(self.lines))

    def stop(self) -> int:
        """Press Ctrl-C."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=30)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    system = Up(tmp_path / "data")
    system.wait_for(f"ready http://127.0.0.1:{system.port}")
    yield system
    system.stop()


def run(script: str, folder: Path, data_dir: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ROLLCALL_DATA_DIR": str(data_dir)}
    script = f"set -eu\ncd {ROOT}\n. .venv/bin/activate\ncd {folder}\n" + script.replace(". .venv/bin/activate\n", "")
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=100, env=environment)


def test_every_command_of_the_main_job_does_what_the_readme_says(up: Up, tmp_path: Path) -> None:
    """Docs are short, true, and tested: every command in the README runs in a test."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert blocks
    checks = """
rollcall collaborator show acme ada@acme.example --json > collaborator.json
rollcall device show acme C02ADA --json > device.json
rollcall why acme C02ADA --json > why.json
rollcall rules show "$(field dashboard.json connection_id)" --json > rules.json
"""
    result = run("\n".join([*blocks, checks]), tmp_path, tmp_path / "data")
    assert result.returncode == 0, result.stdout + result.stderr + "\n".join(up.lines)
    collaborator = json.loads((tmp_path / "collaborator.json").read_text())
    assert (collaborator["role"], collaborator["role_source"]) == ("ADMIN", "GROUP")
    device = json.loads((tmp_path / "device.json").read_text())
    assert device["policy_id"] == json.loads((tmp_path / "locked.json").read_text())["policy_id"]
    assert device["owner_email"] == "ada@acme.example"
    evidence = (tmp_path / "why.json").read_text()
    assert "CHANGE_POLICY" in evidence
    assert "PATCH /Users/{id}" in evidence


def test_the_demonstration_starts_as_the_readme_says(tmp_path: Path) -> None:
    """README: "adds a workspace `demo` with three connections, rules, policies, devices and publications"."""
    assert 'make up ARGS="--demo"' in README
    system = Up(tmp_path / "data", "--demo")
    try:
        system.wait_for(f"ready http://127.0.0.1:{system.port}")
        commands = ["connection list --workspace demo", "policy list demo", "device list demo", "publication list demo"]
        script = "\n".join(f"rollcall {command} --json > {index}.json" for index, command in enumerate(commands))
        result = run(script, tmp_path, tmp_path / "data")
        assert result.returncode == 0, result.stderr
        listed = [json.loads((tmp_path / f"{index}.json").read_text()) for index in range(len(commands))]
        assert {connection["portal"] for connection in listed[0]} == {"DASHBOARD", "STORE", "MDM"}
        assert all(listed)
    finally:
        assert system.stop() in (0, 2, 130, -signal.SIGINT)  # make itself ends by the signal


def test_every_make_target_of_the_readme_exists() -> None:
    """No feature in the README that isn't in the code."""
    for target in set(re.findall(r"make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text())):
        assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, timeout=60).returncode == 0, target


def test_every_file_that_the_documents_name_exists() -> None:
    """Docs are true: the map leads somewhere."""
    for document in ("README.md", "CONTRIBUTING.md", "protos/README.md"):
        names = re.findall(r"`((?:[a-z_.0-9]+/)+[a-z_.0-9]*)`", (ROOT / document).read_text())
        missing = [
            name
            for name in names
            if not (ROOT / name).exists() and not name.startswith((".rollcall", "google", "backups", "identities"))
        ]
        assert missing == [], document
