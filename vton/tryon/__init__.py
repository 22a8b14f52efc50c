"""A try-on, from request to picture."""
