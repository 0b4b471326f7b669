"""Models, one per module: its options `Config` and the function `build`."""
