"""What a source decides, pure: expressions, mapping, profile, plan, brake."""
