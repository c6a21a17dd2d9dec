"""The directory service: owner of workspaces, connections, tokens, users and groups, and the source of their events."""
