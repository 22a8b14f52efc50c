"""HTTP to others: the provider, the login keys, and wherever a result lies."""
