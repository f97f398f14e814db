"""Anthropic's messages: turns of blocks in, blocks out, errors in their shape."""
