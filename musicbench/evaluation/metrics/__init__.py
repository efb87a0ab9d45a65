"""Metrics: pure functions of NumPy arrays in float64, and torchmetrics twins that count each clip once."""
