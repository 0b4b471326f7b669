"""Special token ids of every vocabulary, and the number of byte ids, which word vocabularies lack."""

PADDING, UNKNOWN, START, END = range(4)
NUM_SPECIAL = 4
NUM_BYTES = 256
