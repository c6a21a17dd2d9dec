"""SCIM 2.0 (RFC 7643, RFC 7644) as a pure library: no input or output, no database, no wire protocol."""
