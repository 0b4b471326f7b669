"""Ids of the special tokens in every vocabulary, and the number of byte tokens, which only words lack."""

PADDING, UNKNOWN, START, END = range(4)
NUM_SPECIAL = 4
NUM_BYTES = 256
