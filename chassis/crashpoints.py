"""Named points at which a fault test kills the process.

`ROLLCALL_CRASHPOINT=relay.after_publish:3` makes the third pass of `crashpoint("relay.after_publish")` a SIGKILL of the
process itself, so that no handler, no flush and no rollback of ours runs. Without the variable a pass costs one call of
an empty function.
"""

from __future__ import annotations

import itertools
import os
import signal

VARIABLE = "ROLLCALL_CRASHPOINT"


class CrashpointSyntaxError(ValueError):
    """`ROLLCALL_CRASHPOINT` is not of the form `name:n` with n ≥ 1."""


def _armed() -> tuple[str, int] | None:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    name, separator, count = text.rpartition(":")
    if not separator or not name or not count.isdecimal() or int(count) < 1:
        raise CrashpointSyntaxError(f"{VARIABLE}={text!r}: expected NAME:N with N at least 1")
    return name, int(count)


_ARMED = _armed()
_passes = itertools.count(1)

if _ARMED is None:

    def crashpoint(name: str) -> None:
        """Mark a point where a fault test may kill the process; `name` is `component.when`, as `relay.after_ack`."""

else:
    _NAME, _COUNT = _ARMED

    def crashpoint(name: str) -> None:
        """Mark a point where a fault test may kill the process; `name` is `component.when`, as `relay.after_ack`."""
        # count.__next__ is atomic, so that two threads never see the same pass.
        if name == _NAME and next(_passes) == _COUNT:
            os.kill(os.getpid(), signal.SIGKILL)
