"""Faults, and what must hold: the harness, the workload, the checker, and the model of the relay's protocol."""
