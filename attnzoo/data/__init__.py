"""Turning files and data sets into batches."""
