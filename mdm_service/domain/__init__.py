"""Pure decisions of the MDM service: no I/O, no clock."""
