"""Asks whether the locked dependencies have known vulnerabilities, and says so clearly when nobody could be asked.

`python requirements/audit.py PIP_AUDIT` exits 0 when there are none, 1 when there are some, 2 when a package was not
checked: the tool itself passes over those that its service does not know, and says that nothing was found.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCKS = ("runtime.txt", "build.txt")
HERE = Path(__file__).parent


def main(pip_audit: str) -> int:
    """Check every lock of what is shipped or builds it."""
    return max(check(pip_audit, lock) for lock in LOCKS)


def check(pip_audit: str, lock: str) -> int:
    """Check one lock, print what is found, and return the exit status for it."""
    command = [pip_audit, "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run([*command, "-r", str(HERE / lock)], capture_output=True, text=True, timeout=300)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        # The last line of what it says is the reason.
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{lock}: NOT CHECKED, the advisories cannot be reached: {reason}", file=sys.stderr)
        return 2
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        for flaw in package["vulns"]:
            versions = ", ".join(flaw.get("fix_versions") or ["none yet"])
            print(f"{lock}: {package['name']} {package['version']}: {flaw['id']}, repaired in {versions}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        print(f"{lock}: NOT CHECKED, the advisories do not know {', '.join(skipped)}", file=sys.stderr)
    if not vulnerable and not skipped:
        print(f"{lock}: no known vulnerabilities of {len(packages)} packages")
    return 1 if vulnerable else 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
