"""Parts of SCIM that this server does not offer, said in SCIM instead of with a path that is not there."""


class Absent:
    """A path that answers 501 to every method, whatever it is (RFC 7644 §3.11); `Edge` sees to that."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
