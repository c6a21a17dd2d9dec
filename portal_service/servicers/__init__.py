"""gRPC servicers: unpack the request, call one use case, pack the response."""
