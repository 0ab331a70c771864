"""Who may do what: pure decisions that every command of every door passes."""
