"""The command line's own parts: options, configuration, console and log."""
