"""What to fill in where, for each identity provider: the fields by the names that its own pages give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

BASE_URL = "{base_url}"
"""Stands for the connection's base URL."""
TOKEN = "{token}"
"""Stands for the bearer token, which is shown once."""


class Entry(NamedTuple):
    """One field of the identity provider's page, and what goes into it."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do there."""

    text: str
    entries: tuple[Entry, ...] = ()
    """The fields to fill in."""


@dataclass(frozen=True, slots=True)
class Guide:
    """How one identity provider is connected."""

    key: str
    title: str
    audience: str
    """When to take this one."""
    steps: tuple[Step, ...]


_ACTIONS = Step(
    "On the same tab, open To App, choose Edit, enable Create Users, Update User Attributes and Deactivate Users, and "
    "choose Save."
)
_ASSIGN = Step("On the tab Assignments, assign the people, or a group of them, that this portal is for.")
_PUSH = Step(
    "On the tab Push Groups, choose Find groups by name, and add each group that decides roles or apps. Use groups "
    "other than those under Assignments: Okta does not support one group for both."
)

GUIDES = (
    Guide(
        "okta-aiw",
        "Okta: your SAML application",
        "Recommended: single sign-on and provisioning stay in one application of your own.",
        (
            Step(
                "In the Okta Admin Console, open the application. On the tab General, under App Settings, choose Edit, "
                "set Provisioning to SCIM, and choose Save. The tab Provisioning appears."
            ),
            Step(
                "On the tab Provisioning, open Integration, choose Edit, and fill in:",
                (
                    Entry("SCIM connector base URL", BASE_URL),
                    Entry("Unique identifier field for users", "userName"),
                    Entry("Supported provisioning actions", "Push New Users, Push Profile Updates, Push Groups"),
                    Entry("Authentication Mode", "HTTP Header"),
                    Entry("Authorization (Bearer)", TOKEN),
                ),
            ),
            Step("Choose Test Connector Configuration, then Save."),
            _ACTIONS,
            _ASSIGN,
            _PUSH,
        ),
    ),
    Guide(
        "okta-oin",
        "Okta: an application of the catalogue",
        "When App Settings do not offer SCIM in your plan: single sign-on and provisioning are two applications.",
        (
            Step(
                "In the Okta Admin Console, open Applications, Browse App Catalog, and add SCIM 2.0 Test App (OAuth "
                "Bearer Token)."
            ),
            Step(
                "On the tab Provisioning, choose Configure API Integration, tick Enable API integration, and fill in:",
                (Entry("SCIM 2.0 Base Url", BASE_URL), Entry("OAuth Bearer Token", TOKEN)),
            ),
            Step("Choose Test API Credentials, then Save."),
            _ACTIONS,
            _ASSIGN,
            _PUSH,
        ),
    ),
    Guide(
        "entra",
        "Microsoft Entra ID",
        "An enterprise application of your own that is not in the gallery.",
        (
            Step(
                "In the Entra admin center, open Enterprise applications, New application, Create your own "
                "application, and choose the one that is not found in the gallery."
            ),
            Step(
                "Open Provisioning, set Provisioning Mode to Automatic, and fill in under Admin Credentials:",
                (Entry("Tenant URL", BASE_URL), Entry("Secret Token", TOKEN)),
            ),
            Step("Choose Test Connection, then Save."),
            Step(
                "Under Mappings, Provision Users, match by userName, and see that mail goes to "
                'emails[type eq "work"].value.'
            ),
            Step("Under Users and groups, assign the people and groups; then set Provisioning Status to On."),
        ),
    ),
)
"""Every guide, the recommended one first."""


def suggested(provider: str) -> str:
    """Return the key of the guide for who speaks on a connection: `okta`, `entra` or `other`."""
    return "entra" if provider == "entra" else GUIDES[0].key
