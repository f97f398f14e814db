"""Requests, scheduling, running, memory: the engine and its Python API."""
