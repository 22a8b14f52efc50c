"""What the operator asks and does: is it well, what became of a session, pause, erase."""
