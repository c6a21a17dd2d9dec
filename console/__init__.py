"""The administrator's console: what the services hold, in a browser."""
