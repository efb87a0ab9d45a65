"""Released checkpoints there and back."""
