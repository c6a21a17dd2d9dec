"""In which dialect of SCIM a request is written, told from the request alone: one of Okta's two, Entra's, or another.

It is evidence that an administrator may look at, kept on the connection with first and last sight. No behaviour depends
on it: every form that any client sends is taken from all of them.
"""

import re
from collections.abc import Mapping
from typing import Any

OKTA_AIW = "OKTA_AIW"
"""Okta, a custom application: groups and deactivation by PUT."""
OKTA_OIN = "OKTA_OIN"
"""Okta, an application of the catalogue: groups and deactivation by PATCH."""
OKTA = "OKTA"
"""Okta, by a request that both send."""
ENTRA = "ENTRA"
OTHER = "OTHER"
"""No trait of any of these."""

_ENTRA_FLAG = b"aadoptscim062020"
_ENTRA_SCHEMAS = "http://schemas.microsoft.com/"
_ENTRA_OPS = frozenset({"Add", "Replace", "Remove"})
_ENTRA_BOOLEANS = frozenset({"True", "False"})
_OKTA_USER_ID = re.compile(r"00u[0-9A-Za-z]{12,30}")


def classify(route: str, user_agent: str, query: bytes, body: object) -> str:
    """Return the dialect of a request, by its name in `rollcall.directory.v1.ClientDialect`.

    `route` is the method and route, as "PUT /Users/{id}"; `query` is as it was sent; `body` is parsed JSON, None when
    there is none.
    """
    agent = user_agent.lower()
    document = body if isinstance(body, dict) else {}
    if "okta" in agent:
        return _okta(route, document)
    if _is_entra(route, agent, query, document):
        return ENTRA
    # A proxy may have put its own name in the place of Okta's; the ids that Okta gives its users remain.
    external_id = document.get("externalId")
    if isinstance(external_id, str) and _OKTA_USER_ID.fullmatch(external_id):
        return _okta(route, document)
    return OTHER


def _okta(route: str, document: Mapping[str, Any]) -> str:
    if route.startswith("PATCH "):
        return OKTA_OIN
    # A profile is updated by PUT in both dialects. What only one of them does by PUT: change a group, deactivate.
    if route.startswith("PUT /Groups") or (route.startswith("PUT /Users") and document.get("active") is False):
        return OKTA_AIW
    return OKTA


def _is_entra(route: str, agent: str, query: bytes, document: Mapping[str, Any]) -> bool:
    if "microsoft" in agent or "azure" in agent:
        return True
    if query:
        if _ENTRA_FLAG in query.lower():
            return True
        if route == "GET /Groups" and b"excludedAttributes=members" in query and b"filter=" in query:
            return True
    if not document:
        return False
    schemas = document.get("schemas")
    if isinstance(schemas, list) and any(isinstance(urn, str) and urn.startswith(_ENTRA_SCHEMAS) for urn in schemas):
        return True
    if _is_text_boolean(document.get("active")) or _has_null_reference(document.get("members")):
        return True
    operations = document.get("Operations")
    return isinstance(operations, list) and any(map(_is_entra_operation, operations))


def _is_entra_operation(operation: object) -> bool:
    if not isinstance(operation, dict):
        return False
    op, path, value = operation.get("op"), operation.get("path"), operation.get("value")
    if _has_null_reference(value) or (path == "active" and _is_text_boolean(value)):
        return True
    if path is None and isinstance(value, dict) and any(_is_path(name, item) for name, item in value.items()):
        return True  # with its flag, Entra writes paths as keys
    # Others write operations in any case, and then attributes too; Entra spells those as the schema does.
    return isinstance(op, str) and op in _ENTRA_OPS and (not isinstance(path, str) or path[:1].islower())


def _is_path(name: str, value: object) -> bool:
    """Tell whether a key names a sub-attribute or an attribute of an extension, not an extension with its object."""
    return not isinstance(value, dict) if ":" in name else "." in name


def _is_text_boolean(value: object) -> bool:
    return isinstance(value, str) and value in _ENTRA_BOOLEANS


def _has_null_reference(members: object) -> bool:
    first = members[0] if isinstance(members, list) and members else None
    return isinstance(first, dict) and "$ref" in first and first["$ref"] is None
