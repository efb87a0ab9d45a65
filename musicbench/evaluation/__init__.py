"""Judges (audio embedders and classifiers), distances between distributions, likelihood and speed."""
