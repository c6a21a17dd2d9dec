"""Certificates for tests: an authority of their own and what it signs, made by the system's OpenSSL."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


class Certificate(NamedTuple):
    """A certificate and its key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """An authority whose files are in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.certificate = directory / "authority.pem"
        self._key = directory / "authority.key"
        _openssl("-subj", "/CN=an authority", "-keyout", str(self._key), "-out", str(self.certificate))

    def issue(self, name: str, *names: str) -> Certificate:
        """A certificate for `name`, and for further names: they are DNS names, save those with a `:` of their own."""
        made = Certificate(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        alternatives = ",".join(each if ":" in each else f"DNS:{each}" for each in (name, *names))
        _openssl(
            "-CA", str(self.certificate), "-CAkey", str(self._key), "-subj", "/CN=somebody",
            "-addext", f"subjectAltName={alternatives}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", str(made.key), "-out", str(made.certificate),
        )  # fmt: skip
        made.key.chmod(0o600)
        return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", "req", "-x509", *_NEW_KEY, *arguments], check=True, capture_output=True, timeout=30)
