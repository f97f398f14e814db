"""Pure functions tensor -> tensor: one folder per op, the truth in reference.py, fast twins beside it."""
