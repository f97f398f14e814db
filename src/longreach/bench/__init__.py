"""Benchmarks: what is measured, and beside whom. `benchmarks/` only runs what is here."""
