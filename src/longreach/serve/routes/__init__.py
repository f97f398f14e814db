"""One file per family of routes, each with a `router`."""
