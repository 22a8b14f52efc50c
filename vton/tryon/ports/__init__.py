"""What a try-on needs of the world outside: the adapters provide it, `tests/fakes.py` stands in."""
