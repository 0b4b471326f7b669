"""Runs: the run folder and its lock, loading its data, building its model, loading a trained run."""
