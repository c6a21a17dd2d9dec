"""The decisions of the directory as pure functions: no database, no clock, no random numbers."""
