"""Bytes of one file to pages of text: what kind of file it is, and a reader per family."""
