"""The one place that writes: fair queues, group commit, segments, checkpoints, wake-ups."""
