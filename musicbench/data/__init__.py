"""Corpus, token store and the batches that training reads."""
