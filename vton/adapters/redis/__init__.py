"""Redis: the queue and its worker, and what only makes things faster."""
