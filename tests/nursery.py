"""Starts a service's process in a tenth of the time: by a fork of an interpreter that has its libraries loaded already.

Of our own packages nothing is loaded before the fork, so a process reads its environment and our code as any other
does. The nursery has no thread, no channel and no database, and a process that it started ends with it.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

LIBRARIES = (
    "alembic.command", "alembic.runtime.migration", "alembic.script", "falcon.asgi", "google.protobuf.descriptor_pb2",
    "google.protobuf.duration_pb2", "google.protobuf.empty_pb2", "google.protobuf.field_mask_pb2",
    "google.protobuf.json_format", "google.protobuf.timestamp_pb2", "google.rpc.error_details_pb2", "grpc",
    "grpc.aio", "grpc_health.v1.health", "grpc_reflection.v1alpha.reflection", "grpc_status.rpc_status",
    "gunicorn.app.wsgiapp", "nats", "nats.js", "orjson", "psycopg", "pydantic_settings",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite",
    "sqlmodel", "uvloop",
)  # fmt: skip
_PR_SET_PDEATHSIG = 1
_ANSWER_SECONDS = 60.0


class Nursery:
    """The interpreter that others are forked from; one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_ANSWER_SECONDS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
            cwd=Path(__file__).resolve().parents[1],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._answers = self._socket.makefile("rb")

    def spawn(self, arguments: list[str], environment: dict[str, str], log: str, directory: str) -> Child:
        """Run `python ARGUMENTS` (`-m MODULE …`) in a process group of its own, both outputs appended to a log."""
        request = {"arguments": arguments, "environment": environment, "log": log, "directory": directory}
        return Child(self, int(self._ask({"spawn": request})))

    def status(self, pid: int) -> int | None:
        """The exit status of a process, negative for a signal, or None while it lives."""
        answer = self._ask({"status": pid})
        return None if answer is None else int(answer)

    def close(self) -> None:
        """End the nursery, and with it what is left of its processes."""
        self._answers.close()
        self._socket.close()
        self._process.wait(10)

    def _ask(self, request: dict[str, Any]) -> Any:
        with self._lock:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._answers.readline()
        if not line:
            raise ConnectionError(f"the nursery ended with {self._process.poll()}")
        return json.loads(line)


@functools.cache
def nursery() -> Nursery:
    """The nursery of this process."""
    made = Nursery()
    atexit.register(made.close)
    return made


class Child:
    """A process of a nursery, with as much of `subprocess.Popen` as the stack uses."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it lives."""
        if self.returncode is None:
            self.returncode = self._nursery.status(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(0.003)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _serve(channel: socket.socket) -> None:
    """Answer requests until the other side is gone."""
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    # Both ends of each name are closed in the children, so that they hold nothing of it open.
    reader = channel.makefile("rb")
    ended: dict[int, int] = {}
    while line := reader.readline():
        request = json.loads(line)
        if "spawn" in request:
            pid = os.fork()
            if pid == 0:
                channel.close()
                _become(request["spawn"])
            answer: Any = pid
        else:
            answer = _status(request["status"], ended)
        channel.sendall(json.dumps(answer).encode() + b"\n")


def _status(pid: int, ended: dict[int, int]) -> int | None:
    if pid not in ended:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found != pid:
            return None
        ended[pid] = os.waitstatus_to_exitcode(status)
    return ended[pid]


def _become(request: dict[str, Any]) -> None:
    """Turn a fork into the process that was asked for; never returns."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        _, module, *rest = request["arguments"]
        sys.argv = [module, *rest]
        sys.path[0] = request["directory"]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    # Whatever ends it is in its log, as an interpreter would have written it.
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
