"""What to try next: samplers by name, and what they learn from."""
