"""What the numbers were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil

_PACKAGES = ("falcon", "gunicorn", "uvloop", "grpcio", "protobuf", "sqlalchemy", "psycopg", "orjson", "nats-py")


def describe() -> dict[str, str]:
    """Cores, memory, versions, revision."""
    nats_server = Path(sys.executable).with_name("nats-server")
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "nats-server": _output([str(nats_server), "--version"]).rpartition("v")[2],
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
        "revision": _output(["git", "describe", "--always", "--dirty"]),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _output(command: list[str]) -> str:
    try:
        directory = Path(__file__).parent
        return subprocess.run(command, capture_output=True, text=True, timeout=10, cwd=directory).stdout.strip()
    except OSError:
        return ""
