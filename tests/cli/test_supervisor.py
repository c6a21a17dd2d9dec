"""What keeps the programs of `rollcall up` running, and what ends them."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from cli import supervisor as supervising
from cli.supervisor import Log, Program, Supervisor

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


class Lines:
    """Takes the place of the terminal."""

    def __init__(self):
        self.lines = []

    def line(self, name, text):
        self.lines.append((name, text))

    def of(self, name):
        return [text for writer, text in self.lines if writer == name]


def program(name="a", code=SLEEP, rank=0, seconds=5.0, **more):
    return Program(
        name=name, command=(sys.executable, "-c", code), environment=dict(os.environ), stop_rank=rank,
        stop_seconds=seconds, **more,
    )  # fmt: skip


async def until(condition, timeout=15.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(*programs):
    log = Lines()
    supervisor = Supervisor(programs, log, changed=lambda: None)
    supervisor.start()
    try:
        yield supervisor, log
    finally:
        supervisor.kill()
        await supervisor.stop()


async def test_a_killed_program_starts_again():
    """PRODUCT 8: "restart of a crashed child"."""
    async with running(program()) as (supervisor, log):
        await until(lambda: log.of("a") == ["up"])
        first = supervisor.pids["a"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: log.of("a") == ["up", "up"])
        assert supervisor.pids["a"] != first
        assert log.of("rollcall") == ["a ended by SIGKILL; it starts again in 0.1 s"]


async def test_a_program_that_ends_by_itself_starts_again():
    """A service has no reason to end: also status 0 is a crash."""
    async with running(program(code="print('up', flush=True)")) as (_, log):
        await until(lambda: len(log.of("a")) >= 2)
        assert log.of("rollcall")[0] == "a ended with status 0; it starts again in 0.1 s"


async def test_a_program_that_crashes_five_times_in_thirty_seconds_is_given_up():
    """One clear line when it crashes 5 times within 30 s."""
    async with running(program(code="raise SystemExit(3)")) as (supervisor, log):
        line = await asyncio.wait_for(supervisor.gave_up, 20)
        assert re.fullmatch(r"a ended 5 times within \d+ s, the last time with status 3; see its log above", line)
        assert [text.rpartition(" in ")[2] for text in log.of("rollcall")] == ["0.1 s", "0.2 s", "0.4 s", "0.8 s"]


async def test_crashes_far_apart_do_not_add_up(monkeypatch):
    """Only crashes within the window count."""
    monkeypatch.setattr(supervising, "CRASH_WINDOW", 0.0)
    async with running(program(code="print('up', flush=True)")) as (supervisor, log):
        supervisor.settled = True
        await until(lambda: len(log.of("a")) >= supervising.CRASHES_TO_GIVE_UP + 2, timeout=30)
        assert not supervisor.gave_up.done()


async def test_a_program_that_never_served_is_given_up_however_slow_its_starts_are(monkeypatch):
    """Before all serve, five crashes are enough: nobody waits for a stack that cannot start."""
    monkeypatch.setattr(supervising, "CRASH_WINDOW", 0.0)
    async with running(program(code="raise SystemExit(3)")) as (supervisor, _):
        assert "a ended 5 times" in await asyncio.wait_for(supervisor.gave_up, 20)


async def test_a_program_that_cannot_be_started_is_given_up_with_its_reason():
    """A missing program is told by name."""
    missing = Program(name="a", command=("/nonexistent/x",), environment={}, stop_rank=0, stop_seconds=1.0)
    async with running(missing) as (supervisor, log):
        await asyncio.wait_for(supervisor.gave_up, 20)
        assert "cannot start /nonexistent/x" in log.of("a")[0]


async def test_programs_stop_rank_by_rank():
    """The gateway stops before the services, and those before NATS."""
    tells = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), print('bye', flush=True), sys.exit())); print('up', flush=True); time.sleep(600)"  # noqa: E501
    programs = [program("last", tells, 2), program("first", tells, 0), program("second", tells, 1)]
    async with running(*programs) as (supervisor, log):
        await until(lambda: sum(text == "up" for _, text in log.lines) == 3)
        await supervisor.stop()
        assert [name for name, text in log.lines if text == "bye"] == ["first", "second", "last"]
        assert supervisor.pids == {}


async def test_a_program_that_does_not_stop_is_killed_and_named():
    """A stop has a bound."""
    async with running(program(code=IGNORES_SIGTERM, seconds=0.3)) as (supervisor, log):
        await until(lambda: log.of("a") == ["up"])
        await asyncio.wait_for(supervisor.stop(), 5)
        assert log.of("rollcall") == ["a did not stop in 0.3 s and is killed"]


async def test_a_program_that_waits_for_others_is_told_to_be_quick():
    """A gateway waits for clients that keep their connection open; after half of its time it waits no longer."""
    async with running(program(code=IGNORES_SIGTERM, seconds=1.0, quick_signal=signal.SIGQUIT)) as (supervisor, log):
        await until(lambda: log.of("a") == ["up"])
        await asyncio.wait_for(supervisor.stop(), 5)
        assert log.of("rollcall") == []


async def test_a_program_is_ended_with_what_it_started():
    """Nothing is left running: the workers of a killed gateway would keep its port."""
    code = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); " + SLEEP
    )
    async with running(program(code=code)) as (supervisor, log):
        await until(lambda: any(text.isdigit() for text in log.of("a")))
        worker = psutil.Process(int(next(text for text in log.of("a") if text.isdigit())))
        os.kill(supervisor.pids["a"], signal.SIGKILL)
        await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


async def test_hidden_lines_are_not_shown():
    """A program's banner is noise to a person."""
    code = "print('[INF] banner', flush=True); print('[WRN] disk', flush=True); import time; time.sleep(600)"
    async with running(program(code=code, hidden=re.compile(r"\[INF\]"))) as (_, log):
        await until(lambda: log.of("a") == ["[WRN] disk"])


async def test_a_very_long_line_does_not_stop_the_log():
    """A line beyond the limit is named, and the next is shown."""
    code = "print('x' * 1_000_000, flush=True); print('next', flush=True); import time; time.sleep(600)"
    async with running(program(code=code)) as (_, log):
        await until(lambda: "next" in log.of("a"))


@pytest.mark.parametrize("quick_signal", ["SIGKILL", "SIGQUIT"])
def test_programs_end_when_their_supervisor_is_killed(quick_signal, tmp_path):
    """Nothing survives even a kill -9 of `up`."""
    code = textwrap.dedent(f"""
        import asyncio, os, signal, sys
        from cli.supervisor import Program, Supervisor

        class Lines:
            def line(self, name, text): pass

        async def main():
            program = Program(name="a", command=(sys.executable, "-c", {SLEEP!r}), environment=dict(os.environ),
                              stop_rank=0, stop_seconds=5.0, quick_signal=signal.{quick_signal})
            supervisor = Supervisor([program], Lines(), changed=lambda: print(supervisor.pids["a"], flush=True))
            supervisor.start()
            await supervisor.gave_up

        asyncio.run(main())
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        assert not psutil.wait_procs([child], timeout=10)[1]
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_terminal_that_does_not_read_stops_nothing(monkeypatch):
    """Logs are dropped, and counted, before a program waits for a reader."""
    readable, writable = os.pipe()
    monkeypatch.setattr(sys, "stderr", os.fdopen(writable, "w"))
    log = Log(["a"])
    for number in range(20_000):
        log.line("a", f"{number:0200d}")
    read = bytearray()

    def drain():
        while piece := os.read(readable, 65536):
            read.extend(piece)

    reader = threading.Thread(target=drain)
    reader.start()
    deadline = time.monotonic() + 15
    while b"lines were dropped: nobody read them" not in read:
        assert time.monotonic() < deadline
        log.line("a", "again")
        time.sleep(0.01)
    log.close()
    sys.stderr.close()
    reader.join(10)
    os.close(readable)
    assert read.startswith(b"a | " + b"0" * 200 + b"\n")
