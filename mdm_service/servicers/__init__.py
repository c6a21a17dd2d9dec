"""The gRPC services that the MDM process serves: unpack, one use case, pack."""
