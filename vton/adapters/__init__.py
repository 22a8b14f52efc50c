"""The outside world, one file each; none knows Flask."""
