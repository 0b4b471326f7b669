"""One file a data set: its options and a function that loads it."""
