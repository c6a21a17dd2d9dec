"""What ends a command before it is done.

Exception
├── Refused   the services, or what they hold, said no: exit status 1
└── Misuse    the command line itself is wrong: exit status 2
"""


class Refused(Exception):
    """The command was understood and not done; the text is the one line that the person reads. Exit status 1."""


class NotFound(Refused):
    """What the command names does not exist."""


class Misuse(Exception):
    """The command line asks for something that no command does; the text is one line. Exit status 2."""
