"""What every process of Rollcall shares and no service owns: databases, delivery of events, gRPC plumbing, settings."""
