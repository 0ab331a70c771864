"""What both HTTP edges agree on, without a socket: targets, statuses, problems, and how a request is traced."""
