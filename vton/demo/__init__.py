"""The page that shows what the service does, and the JavaScript client it uses."""
