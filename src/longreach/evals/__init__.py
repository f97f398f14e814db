"""Evaluations: they see the engine through one Protocol, so they also run on a fake engine."""
