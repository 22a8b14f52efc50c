"""The project's own sample pictures, drawn with Pillow: people and garments.

`python -m vton.local.draw` writes them all, the same bytes each time.
"""
