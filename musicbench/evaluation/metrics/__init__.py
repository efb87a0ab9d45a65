"""Metrics: pure functions of NumPy arrays in float64, and their declarations as metrics of a run record.

Every module here is searched for metrics (``evaluation.metric.metric``): a new one is one file.
"""
