"""`python -m tests.deploy.nats_users > deploy/base/nats/users.conf`: what the manifests say of NATS users, anew."""

import re

from chassis.nats_permissions import USERS, server_users

HEADER = """\
# Who may publish and subscribe to what; every other subject is refused. Written by
# `python -m tests.deploy.nats_users` from chassis/nats_permissions.py: change it there.
"""


def variable(user: str) -> str:
    """The pod's environment variable that holds a user's public key."""
    return f"{user.upper().replace('-', '_')}_NKEY"


def users_file() -> str:
    """What `users.conf` must hold."""
    users = server_users({user: f"${variable(user)}" for user in USERS})
    # In quotes it would be text, not the name of a variable.
    users = re.sub(r'"(\$[A-Z_]+_NKEY)"', r"\1", users)
    return f"{HEADER}authorization {{\n  timeout: 5\n{users}\n}}\n"


if __name__ == "__main__":
    print(users_file(), end="")
