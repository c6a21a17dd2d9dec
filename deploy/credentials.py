"""Make the Secrets of an installation, as a list for kubectl: `python3 deploy/credentials.py production | kubectl …`.

Every secret is random and made anew at each call; none is kept by this program. It needs Python and openssl alone.
What is made: an nkey for each user of NATS, a password and a URL for each database, and for development the
certificates, which in production cert-manager makes.
"""

import argparse
import base64
import binascii
import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

NAMESPACE = "rollcall"
NATS_USERS = ("directory-relay", "portal", "mdm", "provisioner", "agents")
DATABASES = ("directory", "portal", "mdm")
PROCESSES = ("directory", "portal", "mdm", "gateway", "console", "admin")
DATABASE_HOST = "database-rw.rollcall.svc"
VERIFIED = "?sslmode=verify-full&sslrootcert=/etc/rollcall/database/ca.crt"
DAYS = 365

_SEED_PREFIX, _USER_PREFIX = 18 << 3, 20 << 3

Secret = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Print the list; exit 2 for wrong usage, and when it would be shown on a terminal."""
    parser = argparse.ArgumentParser(prog="credentials.py", description=__doc__.partition("\n")[0])
    parser.add_argument("overlay", choices=("development", "production"))
    parser.add_argument("--only", metavar="NAME", action="append", help="one Secret, or `tls`; may be given again")
    options = parser.parse_args(arguments)
    if sys.stdout.isatty():
        print("credentials.py: secrets are not shown on a terminal: pipe them into kubectl", file=sys.stderr)
        return 2
    makers = makers_of(options.overlay)
    unknown = sorted(set(options.only or ()) - makers.keys())
    if unknown:
        parser.error(f"--only {unknown[0]}: expected one of {', '.join(makers)}")
    made = [secret for name, make in makers.items() if name in (options.only or makers) for secret in make()]
    json.dump({"apiVersion": "v1", "kind": "List", "items": made}, sys.stdout, indent=1)
    print()
    return 0


def makers_of(overlay: str) -> dict[str, Callable[[], list[Secret]]]:
    """Give for each name that `--only` takes what makes its Secrets."""
    makers: dict[str, Callable[[], list[Secret]]] = {}
    for user in NATS_USERS:
        makers[f"nats-{user}"] = partial(nats_user, user)
    for database in DATABASES:
        makers[f"{database}-database"] = partial(database_account, database, overlay)
    if overlay == "development":
        makers["postgresql"] = superuser
        makers["tls"] = certificates
    return makers


def nats_user(user: str) -> list[Secret]:
    """Make an nkey: `seed` is for the process, `nkey`, its public half, for the server."""
    seed, nkey = make_nkey()
    return [_secret(f"nats-{user}", {"seed": seed, "nkey": nkey})]


def make_nkey() -> tuple[str, str]:
    """Make the seed and the public key of a NATS user: Ed25519, in base32 with a prefix and a CRC-16."""
    private = _openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER")
    public = _openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", given=private)
    # Both encodings end with the 32 bytes themselves (RFC 8410 §4 and §7).
    seed = bytes([_SEED_PREFIX | _USER_PREFIX >> 5, (_USER_PREFIX & 31) << 3]) + private[-32:]
    return _base32(seed), _base32(bytes([_USER_PREFIX]) + public[-32:])


def _base32(data: bytes) -> str:
    checked = data + binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def superuser() -> list[Secret]:
    """Make the password of the superuser of development's PostgreSQL."""
    return [_secret("postgresql", {"password": secrets.token_urlsafe(32)})]


def database_account(name: str, overlay: str) -> list[Secret]:
    """Make the account of a service's database; in production the server must show the cluster's certificate."""
    password = secrets.token_urlsafe(32)
    url = f"postgresql+psycopg://{name}:{password}@{DATABASE_HOST}:5432/{name}"
    made = _secret(
        f"{name}-database",
        {"username": name, "password": password, "url": url + (VERIFIED if overlay == "production" else "")},
        kind="kubernetes.io/basic-auth",
    )
    # CloudNativePG sets the role's password anew when the Secret changes.
    made["metadata"]["labels"] = {"cnpg.io/reload": "true"}
    return [made]


def certificates() -> list[Secret]:
    """Make an authority, a certificate for each process, and the same for the routes of NATS; authorities' keys go."""
    with tempfile.TemporaryDirectory(prefix="rollcall-certificates-") as made:
        processes, routes = Path(made, "processes"), Path(made, "routes")
        _make_authority(processes, "Rollcall")
        _make_authority(routes, "Rollcall NATS routes")
        host = f"{NAMESPACE}.svc"
        return [
            *(_certificate(processes, name, [f"{name}.{host}"]) for name in PROCESSES),
            _certificate(processes, "nats", [f"nats.{host}", f"*.nats.{host}"]),
            _certificate(routes, "nats-routes", [f"*.nats.{host}"]),
        ]


def _make_authority(directory: Path, name: str) -> None:
    directory.mkdir()
    (directory / "ca.cnf").write_text(
        "[req]\nprompt=no\ndistinguished_name=name\nx509_extensions=authority\n"
        f"[name]\nCN={name}\n"
        "[authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        "subjectKeyIdentifier=hash\n"
    )
    _make_key(directory / "ca.key")
    request = ("req", "-x509", "-new", "-config", "ca.cnf", "-key", "ca.key", "-days", str(DAYS), "-out", "ca.crt")
    _openssl(*request, directory=directory)


def _certificate(authority: Path, name: str, hosts: list[str]) -> Secret:
    (authority / "leaf.cnf").write_text(
        f"[req]\nprompt=no\ndistinguished_name=name\n[name]\nCN={name}\n"
        "[leaf]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=serverAuth,clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        f"subjectAltName={','.join(f'DNS:{host}' for host in hosts)}\n"
    )
    _make_key(authority / "leaf.key")
    _openssl("req", "-new", "-config", "leaf.cnf", "-key", "leaf.key", "-out", "leaf.csr", directory=authority)
    sign = ("x509", "-req", "-in", "leaf.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
    extended = ("-extfile", "leaf.cnf", "-extensions", "leaf")
    _openssl(*sign, *extended, "-days", str(DAYS), "-out", "leaf.crt", directory=authority)
    files = {"tls.crt": "leaf.crt", "tls.key": "leaf.key", "ca.crt": "ca.crt"}
    contents = {key: (authority / file).read_text() for key, file in files.items()}
    return _secret(f"{name}-tls", contents, kind="kubernetes.io/tls")


def _make_key(path: Path) -> None:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))


def _openssl(*arguments: str, given: bytes | None = None, directory: Path | None = None) -> bytes:
    """Run openssl and give what it printed. Raises SystemExit with its complaint."""
    try:
        result = subprocess.run(["openssl", *arguments], input=given, capture_output=True, cwd=directory, timeout=60)
    except FileNotFoundError:
        raise SystemExit("credentials.py: openssl is not installed") from None
    if result.returncode != 0:
        raise SystemExit(f"credentials.py: openssl {arguments[0]}: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


def _secret(name: str, contents: dict[str, str], *, kind: str = "Opaque") -> Secret:
    metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "stringData": contents}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
