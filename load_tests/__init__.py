"""Speed and memory, measured: drivers, one runner, one report. Nothing here asserts; tests assert nothing about time."""
