"""What every page is made of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from console.rendering import Templates
from console.services import Services
from console.settings import ConsoleSettings


@dataclass(frozen=True, slots=True)
class Deps:
    """What pages are given; tests make their own."""

    services: Services
    """Started by the application's lifespan, or by whoever made it."""
    settings: ConsoleSettings
    templates: Templates
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the process has been told to stop: answers that go on without end must end now."""
