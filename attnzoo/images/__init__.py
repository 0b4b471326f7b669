"""Images: files, pixels in the graph, random changes."""
