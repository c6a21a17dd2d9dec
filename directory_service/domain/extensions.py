"""Which schemas a connection's extensions amount to, told from the attributes that were received (RFC 7643 §3.3)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rollcall.directory.v1 import directory_service_pb2 as pb

from directory_service.domain.changes import (
    FORM_BOOLEAN,
    FORM_DECIMAL,
    FORM_INTEGER,
    FORM_LIST,
    FORM_OBJECT,
    FORM_OF_LIST,
    FORM_STRING,
)

_TYPES = {
    FORM_BOOLEAN: pb.EXTENSION_ATTRIBUTE_TYPE_BOOLEAN,
    FORM_INTEGER: pb.EXTENSION_ATTRIBUTE_TYPE_INTEGER,
    FORM_DECIMAL: pb.EXTENSION_ATTRIBUTE_TYPE_DECIMAL,
    FORM_INTEGER | FORM_DECIMAL: pb.EXTENSION_ATTRIBUTE_TYPE_DECIMAL,
    FORM_OBJECT: pb.EXTENSION_ATTRIBUTE_TYPE_COMPLEX,
}
_SINGLE = FORM_STRING | FORM_BOOLEAN | FORM_INTEGER | FORM_DECIMAL | FORM_OBJECT


@dataclass(frozen=True, slots=True)
class ExtensionSighting:
    """One attribute of an extension as it was received; `key` is dotted for a sub-attribute."""

    schema: str
    key: str
    forms: int
    of_group: bool


@dataclass(slots=True)
class _Seen:
    name: str
    forms: int = 0
    below: "dict[str, _Seen]" = field(default_factory=dict)

    def message(self) -> pb.ExtensionAttribute:
        # A sub-attribute may itself hold objects, which SCIM has no word for: it is called complex, and left at that.
        kind = pb.EXTENSION_ATTRIBUTE_TYPE_COMPLEX if self.below else _TYPES.get(self.forms & _SINGLE)
        return pb.ExtensionAttribute(
            name=self.name,
            type=pb.EXTENSION_ATTRIBUTE_TYPE_STRING if kind is None else kind,
            multi_valued=bool(self.forms & FORM_LIST),
            sub_attributes=[self.below[name].message() for name in sorted(self.below)],
        )


def extensions_of(sightings: Iterable[ExtensionSighting]) -> list[pb.Extension]:
    """Return the extensions by URN, each with its attributes by name; of several spellings the first one stands.

    URNs and names are the same in any case (RFC 7643 §2.1).
    """
    extensions: dict[str, pb.Extension] = {}
    attributes: dict[str, dict[str, _Seen]] = {}
    for sighting in sightings:
        urn = sighting.schema.lower()
        extension = extensions.setdefault(urn, pb.Extension(schema=sighting.schema))
        if sighting.of_group:
            extension.of_groups = True
        else:
            extension.of_users = True
        name, dot, sub_name = sighting.key.partition(".")
        seen = attributes.setdefault(urn, {}).setdefault(name.lower(), _Seen(name))
        if not dot:
            seen.forms |= sighting.forms
            continue
        if sighting.forms & FORM_OF_LIST:
            seen.forms |= FORM_LIST
        seen.below.setdefault(sub_name.lower(), _Seen(sub_name)).forms |= sighting.forms
    for urn, extension in extensions.items():
        extension.attributes.extend(attributes[urn][name].message() for name in sorted(attributes[urn]))
    return [extensions[urn] for urn in sorted(extensions)]
