"""A model of the relay's protocol, small enough to search every interleaving."""
