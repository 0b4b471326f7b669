"""Texts: tokenizers, cleaning, masking, alignments of words."""
