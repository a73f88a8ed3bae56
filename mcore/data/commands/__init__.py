"""The subcommands of ``mcore-data``."""
