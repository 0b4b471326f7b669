"""Views of attention for every task, as pictures and as data, and tests of their faithfulness."""
