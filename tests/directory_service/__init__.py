"""The directory service, in process, on real databases."""
