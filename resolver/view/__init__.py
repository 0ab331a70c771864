"""What a process answers from: the newest checkpoint, read-only, plus an overlay of the changes after it.

    database     column families and options that the committer and all readers share
    checkpoint   finding, leasing and opening an immutable copy of the store
    segments     which files tell the one history, and where in them a change begins
    tail         following that history change by change            archive   answering from any position of it
    overlay      newest values since a checkpoint, in generations   tables    the small tables, in memory
    layers       checkpoint, overlay and tables as one reader       follower  applying changes to it in slices
    wake         the socket to the committer                        liaison   what is said over it, as state
    view         all of it, as `proto.ports.FollowingReader`

A process needs the files only: it starts, answers and follows while nobody writes. The socket makes it quick, not right.
"""
