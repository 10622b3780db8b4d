"""Which run-time settings are in effect on this server, and the file that may override them."""
