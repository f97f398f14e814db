"""The bodies of requests, one file per family: types, ranges, and nothing unknown."""
