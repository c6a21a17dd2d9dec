"""HTTP to what the tests run, which is on loopback and without TLS."""

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify=`: a client that trusts nobody, made once. By default each would read all authorities' certificates anew,
which costs 30 ms."""
