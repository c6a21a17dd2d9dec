"""The gRPC services of the directory: each method unpacks, calls one use case, and packs."""
