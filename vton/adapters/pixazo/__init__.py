"""Pixazo, who makes the pictures."""
