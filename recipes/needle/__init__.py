"""Parts of the recipe for the small model `needle`; `recipes/needle.py` runs them."""
