"""Keeps a fixed set of programs running: logs with a prefix, restarts after a crash, an ordered stop.

A program runs in a process group of its own, so that a Ctrl-C at the terminal reaches the supervisor alone and the
supervisor decides the order in which programs stop. When the supervisor dies, the kernel ends the programs.
"""

import asyncio
import os
import queue
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

# Between fork and exec only a process without threads may run Python, so a small program of its own asks the kernel for
# a signal when its parent dies (1 is PR_SET_PDEATHSIG; Linux only, elsewhere programs outlive a supervisor that is
# killed) and then becomes the program. A parent that died before is noticed too: nobody would ever end this process.
_LAUNCH = """
import ctypes, os, sys
parent, number, *command = sys.argv[1:]
getattr(ctypes.CDLL(None), "prctl", lambda *_: 0)(1, int(number))
if os.getppid() != int(parent):
    sys.exit(1)
try:
    os.execvp(command[0], command)
except OSError as error:
    print(f"cannot start {command[0]}: {error}", flush=True)
    sys.exit(127)
"""

CRASHES_TO_GIVE_UP = 5
CRASH_WINDOW = 30.0
_FIRST_BACKOFF = 0.1
_LONGEST_LINE = 64 * 1024
_COLOURS = (36, 32, 33, 35, 34)


@dataclass(frozen=True)
class Program:
    """One program and how it ends.

    `stop_rank`: programs of a lower rank are stopped first. `stop_seconds`: how long it may take before it is killed.
    `quick_signal`: what ends it at once; SIGKILL, save for a program with children of its own that it must end too. The
    kernel sends it when the supervisor dies, and the supervisor to the whole group after `quick_seconds` (unset: half
    of `stop_seconds`).
    `hidden`: lines of its log that match are not shown.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop_rank: int
    stop_seconds: float
    quick_seconds: float | None = None
    quick_signal: signal.Signals = signal.SIGKILL
    hidden: re.Pattern[str] | None = None


class Log:
    """Prefixed lines on stderr, written by a thread: a terminal that does not read never stops a program.

    Lines that nobody reads are dropped beyond 10,000, and counted.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._width = max(map(len, names))
        colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        self._colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)} if colour else {}
        self._queue: queue.Queue[str | None] = queue.Queue(10_000)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def line(self, name: str, text: str) -> None:
        """Write one line of a program."""
        prefix = f"{name:<{self._width}} |"
        if name in self._colours:
            prefix = f"\033[{self._colours[name]}m{prefix}\033[0m"
        try:
            if self._dropped:
                self._queue.put_nowait(f"({self._dropped} lines were dropped: nobody read them)\n")
                self._dropped = 0
            self._queue.put_nowait(f"{prefix} {text}\n")
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what is queued, for at most a second."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(1.0)

    def _write(self) -> None:
        while (text := self._queue.get()) is not None:
            try:
                sys.stderr.write(text)
                if self._queue.empty():
                    sys.stderr.flush()
            except (OSError, ValueError):
                # The terminal or pipe has gone; the programs go on.
                continue


class Supervisor:
    """Runs programs until `stop`; `gave_up` resolves to one clear line when a program cannot be kept running.

    That is after five crashes within 30 seconds, or, until its owner says by `settled` that all of them serve, after
    five crashes in all: on a slow machine a start takes so long that five never fall into the window.
    """

    def __init__(self, programs: Sequence[Program], log: Log, *, changed: Callable[[], None]) -> None:
        self._programs = list(programs)
        self._log = log
        self._changed = changed
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._begun: dict[str, asyncio.Event] = {}
        self._stopping = asyncio.Event()
        self.settled = False
        self._tasks: list[asyncio.Task[None]] = []
        self.gave_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each program that runs now."""
        return {name: process.pid for name, process in self._running.items()}

    def start(self) -> None:
        """Start every program at once."""
        self._tasks = [asyncio.create_task(self._keep(program)) for program in self._programs]

    async def add(self, program: Program) -> None:
        """Start one more program, kept running and stopped like the others, and return when it has a process.

        Nothing once `stop` has begun.
        """
        if not self._stopping.is_set():
            self._programs.append(program)
            begun = self._begun[program.name] = asyncio.Event()
            self._tasks.append(asyncio.create_task(self._keep(program)))
            await begun.wait()

    async def stop(self) -> None:
        """End the programs rank by rank: SIGTERM, then SIGKILL for what is still there after its `stop_seconds`."""
        self._stopping.set()
        for rank in sorted({program.stop_rank for program in self._programs}):
            await asyncio.gather(*(self._end(program) for program in self._programs if program.stop_rank == rank))
        await asyncio.gather(*self._tasks)

    def kill(self) -> None:
        """End every program at once, without asking."""
        self._stopping.set()
        for process in self._running.values():
            _signal_group(process.pid, signal.SIGKILL)

    async def _end(self, program: Program) -> None:
        process = self._running.get(program.name)
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        quick = program.stop_seconds / 2 if program.quick_seconds is None else program.quick_seconds
        if not await _ends(process, quick) and program.quick_signal is not signal.SIGKILL:
            # Clients that keep a connection open and send nothing are waited for no longer.
            _signal_group(process.pid, program.quick_signal)
        if not await _ends(process, program.stop_seconds - quick):
            self._log.line("rollcall", f"{program.name} did not stop in {program.stop_seconds:g} s and is killed")
        _signal_group(process.pid, signal.SIGKILL)

    async def _keep(self, program: Program) -> None:
        crashes: deque[float] = deque()
        while not self._stopping.is_set():
            code = await self._run(program)
            if self._stopping.is_set():
                return
            now = time.monotonic()
            crashes.append(now)
            while self.settled and crashes[0] < now - CRASH_WINDOW:
                crashes.popleft()
            if len(crashes) >= CRASHES_TO_GIVE_UP:
                if not self.gave_up.done():
                    self.gave_up.set_result(
                        f"{program.name} ended {len(crashes)} times within {now - crashes[0]:.0f} s, the last time "
                        f"{_describe(code)}; see its log above"
                    )
                return
            pause = _FIRST_BACKOFF * 2 ** (len(crashes) - 1)
            self._log.line("rollcall", f"{program.name} ended {_describe(code)}; it starts again in {pause:g} s")
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                continue

    async def _run(self, program: Program) -> int:
        """Run a program once, until it ends; its exit status, or the negative number of the signal that ended it."""
        # A pipe of our own: with asyncio's, `wait` waits for the pipe too, which a child of the program may keep open.
        readable, writable = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(int(program.quick_signal))),
                *program.command,
                env=dict(program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writable,
                stderr=asyncio.subprocess.STDOUT,
                process_group=0,
            )
        except OSError as error:
            os.close(readable)
            self._log.line(program.name, f"cannot start {program.command[0]}: {error}")
            return 127
        finally:
            os.close(writable)
        if self._stopping.is_set():
            # `stop` came while it started, and did not see it.
            _signal_group(process.pid, signal.SIGKILL)
        self._running[program.name] = process
        self._changed()
        if program.name in self._begun:
            self._begun[program.name].set()
        copying = asyncio.create_task(self._copy(program, readable))
        code = await process.wait()
        # What it left behind would hold its port and its pipe.
        _signal_group(process.pid, signal.SIGKILL)
        # All is read in a moment, unless a process that left the group holds the pipe.
        await asyncio.wait({copying}, timeout=1.0)
        copying.cancel()
        del self._running[program.name]
        self._changed()
        return code

    async def _copy(self, program: Program, readable: int) -> None:
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb", buffering=0)
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    # Longer than the limit; asyncio has thrown that piece away.
                    self._log.line(program.name, f"(a line longer than {_LONGEST_LINE} bytes)")
                    continue
                if not line:
                    return
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                if program.hidden is None or not program.hidden.search(text):
                    self._log.line(program.name, text)
        finally:
            transport.close()


async def _ends(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Whether a process ends within a time."""
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # The group is empty.
        return


def _describe(code: int) -> str:
    if code >= 0:
        return f"with status {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
