"""Ways to a system; each delivers a batch of events and says what became of it."""
