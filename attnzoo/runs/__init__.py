"""Runs: the folder and its lock, their data, building, a trained run."""
