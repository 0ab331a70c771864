"""Filing (备案): registrants, prefixes and statistics reported to the upstream's business management system over EPP."""
