"""What a worker answers from: the newest checkpoint, read-only, plus an overlay of the changes after it."""
