"""Generated from the protos beside it; see `protos/README.md`."""
