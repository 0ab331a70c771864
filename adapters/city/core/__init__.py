"""What a feed decides, without a socket, a clock or a disk: profiles, selection, events, the backlog, when to try again."""
