"""The load driver and what it prints: `python -m bench --help`."""
