"""Texts: tokenizers, cleaning, masking and word alignments."""
