"""Single-item virtual try-on: a photo and a garment become a picture."""
