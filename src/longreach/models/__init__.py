"""The decoder of the Qwen family: names, loading, and one forward step."""
