"""The development stack: stand-ins for the outside world, on loopback only."""
