"""Slow, obvious truths that the tests compare with. They import nothing from longreach."""
