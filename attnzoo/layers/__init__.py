"""Layers that models are built from, besides attention."""
