"""Ollama's API: the same answers, in lines of JSON."""
