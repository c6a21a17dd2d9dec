"""The MDM service: employees, devices, policies and segments, and what follows when people come and go."""
