"""Token ids that every vocabulary has, and those of the 256 bytes, which all but one of words have."""

PADDING, UNKNOWN, START, END = range(4)
NUM_SPECIAL = 4
NUM_BYTES = 256
