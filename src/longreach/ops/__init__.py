"""Pure functions from tensors to tensors.

One folder per op: `reference.py` (the truth, plain torch), its fast twins with the same meaning,
and the front door in `__init__.py`, which checks the arguments and picks a twin.
"""
