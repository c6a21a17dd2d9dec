"""Where fuzzing starts from: every recorded request of an identity provider, and hostile forms of each kind of text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.clients.replay import recordings
from tests.gateway.edge import ENTERPRISE_URN, PATCH_URN

FILTERS = (
    'userName eq "a@b"',
    'userName Eq "a" and (emails[type eq "work" and not (primary eq true)] or title pr)',
    'not (name.familyName co "x\\u00fc\\"") or active ne false',
    f'{ENTERPRISE_URN}:manager.value sw "2" and meta.lastModified gt "2011-05-13T04:42:34Z"',
    'urn:acme:scim:2.0:User:badge ge 7.5e3 or urn:acme:scim:2.0:User:tags[value eq "b"].type ew "x"',
    'emails[type eq "work"].value eq null',
)
PATHS = (
    "members",
    "name.givenName",
    'emails[type eq "work"].value',
    'members[value eq "1" or value eq "2"]',
    f"{ENTERPRISE_URN}:manager",
    "urn:acme:scim:2.0:User:badge.sub",
    'urn:acme:scim:2.0:User:tags[value eq "b"].type',
)
TOKENS = (
    *(" eq ", " ne ", " co ", " sw ", " ew ", " gt ", " ge ", " lt ", " le ", " pr", " and ", " or ", "not (", "("),
    *(")", "[", "]", '"', '\\"', "\\u0000", "\\ud800", ".", ":", ",", "true", "false", "null", "-1e309", "0.5"),
    *("userName", "emails", "name.", "members", "value", "type", "primary", "meta.created", "groups", "password"),
    *(
        "externalId",
        "active",
        "schemas",
        "$ref",
        "display",
        "manager",
        ENTERPRISE_URN,
        "urn:a:b:c",
        "2011-05-13T04:42Z",
    ),
    *(
        '"op":"add",',
        '"op":"Replace",',
        '"op":"remove",',
        '"path":',
        '"value":',
        '"Operations":[',
        "{",
        "}",
        "{}",
        "[]",
    ),
    *("GET ", "POST ", "PUT ", "PATCH ", "DELETE ", "/Users", "/Groups", "/{user}", "/{group}", "/.search", "/Bulk"),
    *("?filter=", "&count=", "&startIndex=", "&sortBy=", "&cursor=", "&attributes=", "&excludedAttributes=", "%22"),
    *("if-match: *", 'if-none-match: W/"1"', "content-type: text/plain", "bulkId:x", "/Schemas", "/ResourceTypes"),
    *("/ServiceProviderConfig", "%2F", "..", "//", "%00", "\n\n"),
)


def requests() -> Iterator[bytes]:
    """Every distinct recorded request as text, in the form in which requests are fuzzed."""
    seen = set()
    for path in recordings():
        recording = json.loads(path.read_text())
        for step in _steps(recording["steps"]):
            text = _text({**recording["headers"], **step["request"].get("headers", {})}, step["request"])
            if text not in seen:
                seen.add(text)
                yield text


def _steps(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        if "parallel" in step:
            yield from _steps(step["parallel"])
        elif "request" in step:
            yield step


def _text(headers: dict[str, str], request: dict[str, Any]) -> bytes:
    target = request["path"] + (f"?{request['query']}" if request.get("query") else "")
    kind = "group" if target.startswith("/Groups") else "user"
    # In a path an id is of what the path is of; in a body it is mostly that of a member.
    target = re.sub(r"\{\{\w+\}\}", f"{{{kind}}}", target)
    kept = {name: value for name, value in headers.items() if name in ("Content-Type", "If-Match", "If-None-Match")}
    lines = [f"{request['method']} {target}", *(f"{name}: {value}" for name, value in kept.items())]
    body = ""
    if "body" in request:
        body = re.sub(r"\{\{\w+\}\}", "{user}", json.dumps(_plain(request["body"])))
    return ("\n".join(lines) + "\n\n" + body).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if "$saved" in value:
            return {
                "userName": "bjensen@example.com",
                "displayName": "Tour Guides",
                **_plain(value.get("$changes", {})),
            }
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def of(target: str) -> list[bytes]:
    """The seeds of a target."""
    sent = list(requests())
    if target == "request":
        return sent
    if target == "filter":
        recorded = {unquote(found[1]) for text in sent if (found := re.search(r"filter=([^&\s]+)", text.decode()))}
        return [text.encode() for text in (*FILTERS, *sorted(recorded))]
    bodies = [(text.partition(b" ")[0], text.partition(b"\n\n")[2]) for text in sent]
    patches = sorted({body for method, body in bodies if method == b"PATCH"})
    if target == "path":
        paths = {
            operation["path"]
            for body in patches
            for operation in json.loads(body).get("Operations", ())
            if isinstance(operation.get("path"), str)
        }
        return [text.encode() for text in (*PATHS, *sorted(paths))]
    if target == "patch":
        every = [{"op": op, "path": path, "value": "x"} for path in PATHS for op in ("add", "remove", "replace")]
        return [*patches, json.dumps({"schemas": [PATCH_URN], "Operations": every}).encode()]
    return sorted({body for method, body in bodies if method in (b"POST", b"PUT")})


def write(target: str, corpus: Path, dictionary: Path) -> None:
    """Write the seeds of a target as files, one each, and the tokens in libFuzzer's form of a dictionary."""
    corpus.mkdir(parents=True)
    for number, text in enumerate(of(target)):
        (corpus / f"{number:04}").write_bytes(text)
    escaped = ("".join(f"\\x{byte:02x}" for byte in token.encode()) for token in TOKENS)
    dictionary.write_text("".join(f'"{token}"\n' for token in escaped))
