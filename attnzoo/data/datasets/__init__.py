"""One module per data set, with its options and a function that loads it."""
