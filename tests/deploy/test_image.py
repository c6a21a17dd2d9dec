"""The Dockerfile's steps, carried out in a plain directory, and each command of the manifests started from the result.

No container engine runs where tests run. So the instructions are read as an engine reads them; an absolute path of the
image becomes the same path under a directory, and everything else is what it is in the image.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.deploy.manifests import DEPLOY, OVERLAYS, ROOT, rendered
from tests.loopback import NO_TLS

IMAGE_MEGABYTES = 250
"""TARGETS: "image ≤ 250 MB"."""
BASE_MEGABYTES = 130
"""What python:3.11-slim-bookworm itself takes, unpacked, rounded up."""

INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "CMD"}


@dataclass
class Stage:
    """One stage of the Dockerfile."""

    image: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """The last argument of an instruction in this stage."""
        return [argument for name, argument in self.steps if name == instruction][-1]


def stages() -> list[Stage]:
    """Read the Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.replace("\\\n", " ").splitlines())):
        instruction, _, argument = line.partition(" ")
        assert instruction in INSTRUCTIONS, f"the test does not know {instruction}"
        if instruction == "FROM":
            image, _, name = argument.partition(" AS ")
            found.append(Stage(image, name))
        else:
            found[-1].steps.append((instruction, argument.strip()))
    return found


@dataclass
class Built:
    """The tree of the final stage: `root` stands for `/`; `environment` is what the image sets, with paths there."""

    root: Path
    environment: dict[str, str]
    working_directory: Path

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a container would start it: nothing of this machine's environment."""
        return subprocess.run(
            command, cwd=self.working_directory, env=self.environment | environment, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip


class Builder:
    """Carries out a Dockerfile's steps under a directory."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "image"
        self._directory = directory
        self._stages: dict[str, Path] = {}
        # The `python` of the base image, of which the steps use venv and pip.
        base = directory / "base"
        base.mkdir()
        (base / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (base / "python").chmod(0o755)
        if shutil.which("strip") is None:
            # The image of the build stage has it; without, only the size is another.
            (base / "strip").symlink_to("/bin/true")
        self._base_path = f"{base}:/usr/local/bin:/usr/bin:/bin"

    def build(self) -> Built:
        """Build every stage; one that is done is moved aside, as its files exist only where they are copied from."""
        for stage in stages():
            self.root.mkdir()
            environment, working_directory = self._build_stage(stage)
            if stage.name:
                self._stages[stage.name] = self.root.rename(self._directory / f"stage-{stage.name}")
        return Built(self.root, environment, working_directory)

    def _build_stage(self, stage: Stage) -> tuple[dict[str, str], Path]:
        environment: dict[str, str] = {}
        directory = self.root
        for instruction, argument in stage.steps:
            if instruction == "WORKDIR":
                directory = self._inside(argument)
                directory.mkdir(parents=True, exist_ok=True)
            elif instruction == "ENV":
                for assignment in shlex.split(argument):
                    name, _, value = assignment.partition("=")
                    environment[name] = ":".join(self._placed(part) for part in value.split(":"))
            elif instruction == "COPY":
                self._copy(shlex.split(argument), directory)
            elif instruction == "RUN":
                self._run(argument, directory, environment)
        return environment, directory

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _placed(self, path: str) -> str:
        """A path that the image has of its own is in the directory; one of the base image is this machine's."""
        return str(self._inside(path)) if path.startswith(("/opt/", "/src", "/tmp")) else path

    def _copy(self, words: list[str], directory: Path) -> None:
        source = ROOT
        if words[0].startswith("--from="):
            source = self._stages[words.pop(0).removeprefix("--from=")]
        *names, target = words
        destination = self._inside(target) if target.startswith("/") else directory / target
        for name in names:
            path = source / name.lstrip("/")
            if path.is_dir():
                assert not destination.exists()
                if source == ROOT:
                    # Dockerfile.dockerignore keeps what Python left here out of the context.
                    shutil.copytree(path, destination, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copytree(path, destination, symlinks=True, copy_function=os.link)
            else:
                into = destination / path.name if target.endswith("/") else destination
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, into)

    def _run(self, command: str, directory: Path, environment: dict[str, str]) -> None:
        placed = re.sub(r"(?<![\w.])/opt/", f"{self.root}/opt/", command)
        # An index and its certificates are this machine's own; the Dockerfile names none.
        inherited = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "SSL_"))}
        result = subprocess.run(
            ["/bin/sh", "-e", "-c", placed], cwd=directory, capture_output=True, text=True, timeout=300,
            env={"PATH": self._base_path, **inherited, **environment},
        )  # fmt: skip
        assert result.returncode == 0, f"RUN {command}\n{result.stdout}{result.stderr}"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """What the Dockerfile builds, built once."""
    directory = tmp_path_factory.mktemp("image")
    yield Builder(directory).build()
    shutil.rmtree(directory, ignore_errors=True)


def commands() -> set[tuple[str, ...]]:
    """Every command that a workload of ours starts the image with."""
    return {
        tuple(container["command"])
        for overlay in OVERLAYS
        for workload in rendered(overlay).workloads
        if workload.ours
        for container in workload.containers
    }


@pytest.mark.timeout(300)
def test_each_command_of_the_manifests_starts_from_the_image(image: Built) -> None:
    """Specification: "a test builds the same steps into a plain directory and starts each command from it"."""
    started = set()
    for command in sorted(commands()):
        if command[-1] == "migrate":
            # Started with a database below.
            continue
        if command[:2] == ("python", "-m"):
            # Without any setting: one line for each that is required, and nothing else.
            result = image.run(list(command))
            assert result.returncode == 2, (command, result.stderr)
            lines = result.stderr.splitlines()
            assert lines, command
            assert [line for line in lines if not re.fullmatch(r"rollcall: [A-Z_]+: .+", line)] == [], command
            assert result.stdout == ""
        elif command[0] == "nats-server":
            result = image.run(["nats-server", "--version"])
            assert result.stdout.startswith("nats-server: v"), result.stderr
        else:
            assert command == ("sleep", "infinity")
            assert image.run(["sleep", "0"]).returncode == 0
        started.add(command[0] if command[0] != "python" else command[2])
    modules = {"gateway", "console", "directory_service", "portal_service", "mdm_service", "chassis.provision"}
    assert started == modules | {"nats-server", "sleep"}


@pytest.mark.timeout(300)
def test_the_command_line_runs_from_the_image(image: Built) -> None:
    """Specification: "one image, several commands": an operator's commands are of the same image."""
    result = image.run(["rollcall", "--help"])
    assert result.returncode == 0, result.stderr
    assert "deadletter" in result.stdout
    refused = image.run(["rollcall", "workspace", "list"])
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")


@pytest.mark.timeout(300)
def test_every_process_serves_from_the_image(image: Built, tmp_path: Path) -> None:
    """Specification: "starts each command from it": what the image leaves out of the libraries, no process misses."""
    command = ["rollcall", "up", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=image.working_directory, env=image.environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        urls: dict[str, str] = {}
        for line in process.stdout:
            name, _, rest = line.strip().partition(" ")
            urls[name] = rest
            if name == "nobody":
                break
        assert urls.keys() == {"ready", "console", "nobody"}, (tmp_path / "log").read_text()
        assert httpx.get(f"{urls['ready']}/readyz", verify=NO_TLS).status_code == 200
        shown = httpx.get(urls["nobody"].rpartition(" ")[2], verify=NO_TLS)
        assert shown.status_code == 200
        assert "Create your account" in shown.text
        style = re.search(r'rel="stylesheet" href="([^"]+)"', shown.text)
        assert style is not None
        assert httpx.get(f"{urls['console']}{style[1]}", verify=NO_TLS).status_code == 200
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.timeout(300)
def test_migrations_are_in_the_image(image: Built, tmp_path: Path) -> None:
    """A package that is installed has its migrations too, which are no modules that anything imports."""
    migrations = sorted(command for command in commands() if command[-1] == "migrate")
    assert len(migrations) == 3
    for command in migrations:
        service = command[2].removesuffix("_service")
        setting = {f"{service.upper()}_DATABASE_URL": f"sqlite:///{tmp_path}/{service}.db"}
        result = image.run(list(command), **setting)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / f"{service}.db").stat().st_size > 0


@pytest.mark.timeout(300)
def test_nothing_that_builds_is_in_the_image(image: Built) -> None:
    """Specification: "no compiler in the final stage"."""
    binaries = {path.name for path in (image.root / "opt/rollcall/bin").iterdir()}
    assert binaries & {"rollcall", "nats-server", "python"} == {"rollcall", "nats-server", "python"}
    assert not binaries & {"pip", "gcc", "cc", "pip-compile", "pytest"}
    installed = {path.name.partition("-")[0].lower() for path in image.root.rglob("*.dist-info")}
    assert not installed & {"pip", "setuptools", "wheel", "pytest", "grpcio_tools"}
    assert "rollcall" in installed
    # Tests of libraries are not shipped either, and every module is compiled already.
    assert [path for path in image.root.rglob("tests") if path.is_dir()] == []
    compiled = {path.parent.parent / f"{path.name.partition('.cpython')[0]}.py" for path in image.root.rglob("*.pyc")}
    assert {path for path in image.root.rglob("*.py") if path.parent.name == "chassis"} <= compiled


@pytest.mark.timeout(300)
def test_the_image_is_small_enough(image: Built) -> None:
    """TARGETS: "image ≤ 250 MB"."""
    if shutil.which("strip") is None:
        pytest.skip("this machine has no `strip`, which the image of the build stage has")
    sizes = (path.lstat().st_size for path in image.root.rglob("*") if path.is_file() or path.is_symlink())
    megabytes = sum(sizes) / 1e6
    print(f"the image's own tree: {megabytes:.0f} MB")
    assert BASE_MEGABYTES + megabytes <= IMAGE_MEGABYTES


def test_the_image_runs_as_nobody_in_particular() -> None:
    """Specification: "multi-stage, one image, several commands, non-root": a number, the one of the manifests."""
    build, final = stages()
    # The same Python, at the same place, with tools to build and without.
    assert build.image == final.image.replace("-slim", "")
    assert "-slim" in final.image
    assert final.last("USER") == "10001:10001"
    assert [step for step in final.steps if step[0] == "RUN"] == []
    for overlay in OVERLAYS:
        for workload in rendered(overlay).workloads:
            if workload.ours:
                security = workload.pod["securityContext"]
                assert f"{security['runAsUser']}:{security['runAsGroup']}" == final.last("USER")


def test_dependencies_come_from_the_lock_files_with_hashes() -> None:
    """Specification: "dependencies from the lock file with hashes"."""
    installs = [argument for name, argument in stages()[0].steps if name == "RUN" and " install " in argument]
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert set(re.findall(r"-r (\S+)", installs[0])) == {"requirements/build.txt", "requirements/runtime.txt"}
    assert "--no-deps" in installs[1]
    assert "://" not in (DEPLOY / "Dockerfile").read_text()


def test_the_build_context_has_what_is_copied_and_no_more() -> None:
    """What the Dockerfile copies is what `Dockerfile.dockerignore` lets through."""
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = {
        name
        for instruction, argument in stages()[0].steps
        if instruction == "COPY"
        for name in shlex.split(argument)[:-1]
    }
    assert copied == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_images_of_the_manifests_are_ours_or_named_here() -> None:
    """Specification: "images and commands exist in the Dockerfile"."""
    for overlay in OVERLAYS:
        manifests = rendered(overlay)
        others = {image for one in manifests.workloads if not one.ours for image in one.images}
        assert others == ({"postgres:17-bookworm"} if overlay == "development" else set())
        for workload in manifests.workloads:
            assert not [image for image in workload.images if image.endswith(":latest") or ":" not in image]
