"""The `longreach` command: one thin file per command, which parses, calls and shows."""
