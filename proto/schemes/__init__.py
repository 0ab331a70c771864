"""Code schemes, one file each, in one ordered table."""
