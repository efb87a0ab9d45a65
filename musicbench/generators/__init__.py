"""One thin LightningModule per generator family over a plain model."""
