"""The reference from a user to its manager (RFC 7643 §4.3)."""

from typing import Any

from scim.schemas import ENTERPRISE_USER_URN

Document = dict[str, Any]


def with_own_reference(document: Document, connection_id: str) -> Document:
    """Return the document without a `manager.$ref` that names a user of the connection.

    Such a reference is made anew for every answer, so what a client read and sends back is no change, and none is left
    that names another than `value` does. Where there is no `value`, the reference gives it. One to anywhere else is
    kept as sent. The document given is not touched.
    """
    extension = document.get(ENTERPRISE_USER_URN)
    if extension is None or "$ref" not in (manager := extension.get("manager", {})):
        return document
    _, mark, user_id = manager["$ref"].rpartition(f"/scim/v2/{connection_id}/Users/")
    if not mark or not user_id or "/" in user_id:
        return document
    settled = {"value": manager.get("value", user_id)}
    return {**document, ENTERPRISE_USER_URN: {**extension, "manager": settled}}
