"""Token ids that every vocabulary has."""

PADDING, UNKNOWN, START, END = range(4)
NUM_SPECIAL = 4
