"""Decisions of the portal service as pure functions: time and ids are arguments."""
