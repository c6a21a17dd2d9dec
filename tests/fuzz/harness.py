"""Coverage-guided fuzzing of one target: `python -m tests.fuzz.harness TARGET CORPUS [libFuzzer options]`.

TARGET is filter, path, patch, body or request. CORPUS is a directory that libFuzzer adds to, filled with the seeds when
there is none yet; what breaks a property is written beside it. With `-seed` and `-runs` a run can be repeated; without
`-runs` or `-max_total_time` it goes on until something is found.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris


def target_of(name: str, stack: contextlib.ExitStack) -> Callable[[bytes], None]:
    """Import what is fuzzed, instrumented, and nothing else: instrumenting is what a short run spends most time on."""
    if name != "request":
        with atheris.instrument_imports(include=["scim"], enable_loader_override=False):
            from tests.fuzz.parsers import PARSERS
        return PARSERS[name]
    with atheris.instrument_imports(include=["scim", "gateway", "directory_service"], enable_loader_override=False):
        from tests.fuzz.server import Server
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="rollcall-fuzz-"))
    return Server(Path(directory)).fuzz


def main(name: str, corpus: Path, options: list[str]) -> None:
    """Fuzz a target; libFuzzer ends the process: 0 when nothing was found."""
    dictionary = corpus.parent / f"{name}.dict"
    with contextlib.ExitStack() as stack:
        target = target_of(name, stack)
        if not corpus.exists():
            from tests.fuzz import seeds

            seeds.write(name, corpus, dictionary)
        arguments = [
            *("-max_len=8192", f"-dict={dictionary}", f"-artifact_prefix={corpus.parent}/{name}-"),
            # A hang is a finding too; seconds of wall time, generous, as other processes share the machine.
            "-timeout=20",
            *options,
            str(corpus),
        ]
        atheris.Setup([sys.argv[0], *arguments], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
