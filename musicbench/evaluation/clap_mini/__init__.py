"""clap_mini: a small text-audio judge on top of MusiCNN and a frozen text encoder, trained here."""
