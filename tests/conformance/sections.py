"""The sections of the RFCs that the conformance table has a row for, and which of them a test claims.

A test claims the sections that its docstring cites (`RFC 7644 §3.5.2.1, §3.12`), and those of a marker
`@pytest.mark.rfc("7644 §3.5.2")`. A claim of a part of a section counts for the nearest section that has a row.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
MARKER = "rfc"


@dataclass(frozen=True, slots=True)
class Section:
    """A row of the table."""

    rfc: str
    number: str
    title: str
    remark: str = ""
    """How it is answered, where that is not plain."""

    @property
    def key(self) -> str:
        """The section as a claim names it."""
        return f"{self.rfc} §{self.number}"


SECTIONS: tuple[Section, ...] = (
    Section("7643", "2.1", "Attributes: names in any case"),
    Section("7643", "2.2", "Attribute characteristics"),
    Section("7643", "2.3", "Attribute data types"),
    Section("7643", "2.4", "Multi-valued attributes"),
    Section("7643", "2.5", "Unassigned and null values", "absent `members` and `active` keep their value"),
    Section("7643", "3", "SCIM resources: `schemas`"),
    Section("7643", "3.1", "Common attributes"),
    Section("7643", "3.2", "Defining new resource types", "there are User and Group"),
    Section("7643", "3.3", "Attribute extensions to resources", "any URN is kept as it was sent"),
    Section("7643", "4.1", "User: singular attributes", "a password is accepted and not kept"),
    Section("7643", "4.1.2", "User: multi-valued attributes"),
    Section("7643", "4.2", "Group"),
    Section("7643", "4.3", "Enterprise user"),
    Section("7643", "5", "Service provider configuration"),
    Section("7643", "6", "Resource types"),
    Section("7643", "7", "Schema definition"),
    Section("7643", "8", "JSON representations"),
    Section("7644", "2", "Authentication and authorization", "bearer tokens of a connection"),
    Section("7644", "3.1", "Background: media type, errors"),
    Section("7644", "3.2", "Endpoints and methods"),
    Section("7644", "3.3", "Creating resources"),
    Section("7644", "3.4.1", "Retrieving a known resource"),
    Section("7644", "3.4.2", "Query resources"),
    Section("7644", "3.4.2.1", "Query endpoints"),
    Section("7644", "3.4.2.2", "Filtering"),
    Section("7644", "3.4.2.3", "Sorting"),
    Section("7644", "3.4.2.4", "Pagination by index"),
    Section("7644", "3.4.2.5", "Attributes in the result of a query"),
    Section("7644", "3.4.3", "Querying with POST"),
    Section("7644", "3.5.1", "Replacing with PUT"),
    Section("7644", "3.5.2", "Modifying with PATCH", "a user comes back with 200; a group with 204, or 200 when asked"),
    Section("7644", "3.5.2.1", "PATCH: add"),
    Section("7644", "3.5.2.2", "PATCH: remove"),
    Section("7644", "3.5.2.3", "PATCH: replace"),
    Section("7644", "3.6", "Deleting resources"),
    Section("7644", "3.7", "Bulk operations"),
    Section("7644", "3.8", "Data input and output formats", "JSON in UTF-8 only"),
    Section("7644", "3.9", "Additional operation response parameters"),
    Section("7644", "3.10", "Attribute notation"),
    Section("7644", "3.11", "The alias /Me", "501: a token stands for a connection, not for a person"),
    Section("7644", "3.12", "HTTP status and error handling"),
    Section("7644", "3.13", "SCIM protocol versioning", "the base URL has `/v2`"),
    Section("7644", "3.14", "Versioning resources", "weak entity tags"),
    Section("7644", "4", "Service provider configuration endpoints"),
    Section("7644", "6", "Multi-tenancy", "a tenant is a connection, named in the URL"),
    Section("7644", "7", "Security considerations"),
    Section("9865", "2", "Cursor parameters and errors"),
    Section("9865", "3", "Cursors in a query with POST"),
    Section("9865", "4", "Pagination in the service provider configuration", "the index is the default"),
)
ROWS = {section.key: section for section in SECTIONS}

_RFC = re.compile(r"RFC (?P<rfc>7643|7644|9865)(?P<rest>(?:[\s,;]*(?:and|to)?\s*§[0-9]+(?:\.[0-9]+)*)*)")
_NUMBER = re.compile(r"(?P<to>to\s*)?§(?P<number>[0-9]+(?:\.[0-9]+)*)")


def cited(text: str) -> list[str]:
    """The sections that a text cites, as keys; `§3.5.2.1 to §3.5.2.3` are three."""
    found: list[str] = []
    for citation in _RFC.finditer(text):
        previous = ""
        for part in _NUMBER.finditer(citation["rest"]):
            number = part["number"]
            if part["to"] and previous.rpartition(".")[0] == number.rpartition(".")[0]:
                stem = number.rpartition(".")[0]
                first, last = int(previous.rpartition(".")[2]), int(number.rpartition(".")[2])
                found.extend(f"{citation['rfc']} §{stem}.{middle}" for middle in range(first + 1, last))
            found.append(f"{citation['rfc']} §{number}")
            previous = number
    return list(dict.fromkeys(found))


def row_of(claim: str) -> str | None:
    """The row that a claim counts for: its own or the nearest section around it; None when there is none."""
    rfc, _, number = claim.partition(" §")
    while number:
        if (key := f"{rfc} §{number}") in ROWS:
            return key
        number = number.rpartition(".")[0]
    return None


def claims(docstring: str | None, marks: Iterable[str]) -> list[str]:
    """The claims of a test. Raises ValueError for a mark that is none."""
    marked = [text.removeprefix("RFC ") for text in marks]
    for text in marked:
        if not re.fullmatch(r"(7643|7644|9865) §[0-9]+(\.[0-9]+)*", text):
            raise ValueError(f"{text!r} is not a section such as '7644 §3.5.2'")
    return list(dict.fromkeys([*cited(docstring or ""), *marked]))


def claims_in_source(root: Path = TESTS) -> Iterator[tuple[str, str]]:
    """Each test of the tree with each of its claims, by reading the source; nothing is run."""
    for path in sorted(root.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                name = f"{path.relative_to(root)}::{node.name}"
                for claim in claims(ast.get_docstring(node), _marks(node)):
                    yield name, claim


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == f"pytest.mark.{MARKER}":
            for argument in decorator.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value
