"""Uploaded files: bytes in a directory, what is known of them in SQLite, each its owner's alone."""
