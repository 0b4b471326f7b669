"""One file a model: its options and a function that builds it."""
