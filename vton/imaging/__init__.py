"""Pictures made safe, and results marked: what features call is in `photos`."""
