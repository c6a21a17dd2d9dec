"""Asks whether the locked dependencies have known vulnerabilities, and says so clearly when nobody could be asked.

`python requirements/audit.py PIP_AUDIT` exits 0 when there are none, 1 when there are some, 2 when nothing was checked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOCKS = ("runtime.txt", "build.txt")
HERE = Path(__file__).parent


def main(pip_audit: str) -> int:
    """Check every lock of what is shipped or builds it."""
    worst = 0
    for lock in LOCKS:
        command = [pip_audit, "--require-hashes", "--disable-pip", "--progress-spinner", "off", "-r", str(HERE / lock)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        found = done.stdout.strip()
        if done.returncode == 0:
            print(f"{lock}: no known vulnerabilities")
        elif found:
            print(f"{lock}:\n{found}")
            worst = max(worst, 1)
        else:
            # Without findings it failed to ask: the last line of what it says is the reason.
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{lock}: NOT CHECKED, the advisories cannot be reached: {reason}", file=sys.stderr)
            worst = 2
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
