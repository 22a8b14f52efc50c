"""The garments that can be tried on."""
