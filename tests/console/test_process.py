"""The console as a process: how it starts, and how it ends."""

from __future__ import annotations

import time

import httpx
from rollcall.directory.v1 import connection_service_pb2 as pb

from tests.console.conftest import Person, console_process, is_ready
from tests.loopback import NO_TLS
from tests.stack import Stack, eventually


def test_a_console_that_is_told_to_stop_does_not_wait_for_whoever_watches(console_stack: Stack, person: Person) -> None:
    """House: "drain": an answer that goes on without end is ended, long before the grace period is over."""
    workspace_id = console_stack.create_workspace()
    slug = console_stack.connections.GetWorkspace(pb.GetWorkspaceRequest(workspace=workspace_id)).workspace.slug
    with console_process(console_stack, GRACE_SECONDS="60") as (url, process):
        eventually(lambda: is_ready(url), timeout=30, what="the console")
        client = httpx.Client(
            base_url=url, cookies={"rollcall_session": person.session_token}, timeout=30, verify=NO_TLS
        )
        with client, client.stream("GET", f"/workspaces/{slug}/live/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            next(lines)
            began = time.monotonic()
            process.terminate()
            # Read to its end: a stream that is cut off would raise.
            assert sum(1 for _ in lines) >= 0
        assert process.wait(15) == 0
        assert time.monotonic() - began < 12


def test_a_console_waits_for_a_directory_that_is_not_there_yet(console_stack: Stack) -> None:
    """The rule: it "must not … crash-loop when the directory is slow": it lives, says that it is not ready, and why."""
    with console_process(console_stack, DIRECTORY_TARGET="127.0.0.1:1") as (url, process):
        assert (
            eventually(lambda: httpx.get(f"{url}/healthz", timeout=5, verify=NO_TLS), what="an answer").status_code
            == 200
        )
        answer = httpx.get(f"{url}/readyz", timeout=10, verify=NO_TLS)
        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        shown = httpx.get(url, timeout=10, follow_redirects=True, verify=NO_TLS)
        assert shown.status_code == 200
        assert "Sign in" in shown.text
        assert process.poll() is None
