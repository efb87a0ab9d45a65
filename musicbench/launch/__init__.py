"""Command lines of sweeps; nothing here imports a model."""
