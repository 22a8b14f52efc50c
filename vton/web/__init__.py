"""What every request passes through: who asks, and the one shape of every answer."""
