"""The command line of offline, one module per group."""
