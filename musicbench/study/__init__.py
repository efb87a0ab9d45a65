"""Run records, statistics and tables; reads records only and imports neither torch nor any model."""
