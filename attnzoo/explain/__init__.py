"""How attention is viewed, for every task: for people and as data, and whether that means anything."""
