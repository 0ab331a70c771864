"""What one connection of HTTP/2 may do, each with its reason. Counts are of one interval, which the driver begins anew
(`ServerConnection.renew`), because nothing here has a clock."""

from dataclasses import dataclass
from typing import Final

# Streams that are open at a time: what stock servers allow. Answers that are there at once never count.
MAX_STREAMS: Final = 128

# The least that a peer may be promised; larger frames only make others wait.
MAX_FRAME_BYTES: Final = 16_384

# Header lists of that size, counted as RFC 9113 6.5.2 does, are announced as the most that is taken: as much as grpcio's own
# servers take. What is above is still decoded, up to the second figure, so that its request can be refused by name and the
# connection stays.
MAX_HEADER_LIST_BYTES: Final = 16_384
MAX_DECODED_LIST_BYTES: Final = 2 * MAX_HEADER_LIST_BYTES

# A header block as it was sent, and the frames that it may be spread over: two of full size, and some for peers that do not
# fill theirs. Without the second a block of empty frames would never end.
MAX_BLOCK_BYTES: Final = MAX_DECODED_LIST_BYTES
MAX_CONTINUATIONS: Final = 16

# What may be sent to us before we give room again. A request of common size is a hundredth of the first; the second lets
# several large ones come at once. Both are given back as soon as the bytes have been handed on.
STREAM_WINDOW_BYTES: Final = 262_144
CONNECTION_WINDOW_BYTES: Final = 1_048_576

# Stock clients measure the line with a ping for each burst of data, at most some dozens a second.
MAX_PINGS: Final = 500
# Once at the beginning, and when a client changes its mind about windows.
MAX_SETTINGS: Final = 100
# Entries of one SETTINGS frame: there are a dozen settings in use.
MAX_SETTINGS_ENTRIES: Final = 32
# Streams that a client gives up, or that had to be reset because of what it sent ("rapid reset", CVE-2023-44487 and
# CVE-2025-8671): as many as a client has whose deadlines all pass some times over.
MAX_RESETS: Final = 1_000
# Increments of windows. Stock clients send one when half of a window is used, or to measure the line, some dozens a second;
# the simplest send two for each frame of data that they read. So those above the first figure are no flood as long as there
# are not more of them than the second for each part of what was said: a part is a frame, or less of one.
MAX_WINDOW_UPDATES: Final = 2_000
WINDOW_UPDATES_PER_PART: Final = 2
# Frames that bring nothing: of unknown types, priorities, empty or late data.
MAX_IDLE_FRAMES: Final = 2_000

# Streams that ended before their client had said all, and of which more may still come; older ones are forgotten.
MAX_ABANDONED: Final = 256

# Header blocks of one connection that are remembered as they were understood: a client has one or two for each method.
MAX_REMEMBERED_BLOCKS: Final = 8
MAX_REMEMBERED_BYTES: Final = 2_048

# Frames that are looked at in one turn: those of 64 calls, one or two milliseconds; then other connections are served. A header
# block that has to be decoded counts as one more for so many bytes of it: what hpack takes a frame's time for.
MAX_TURN_FRAMES: Final = 128
BLOCK_BYTES_PER_FRAME: Final = 32
# Bytes of answers of one turn: beyond, the driver has to write first.
MAX_TURN_BYTES: Final = 262_144

# What a GOAWAY says for people.
MAX_DEBUG_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """Those that operators and tests may set otherwise."""

    max_streams: int = MAX_STREAMS
    max_pings: int = MAX_PINGS
    max_settings: int = MAX_SETTINGS
    max_resets: int = MAX_RESETS
    max_window_updates: int = MAX_WINDOW_UPDATES
    max_idle_frames: int = MAX_IDLE_FRAMES
    max_turn_frames: int = MAX_TURN_FRAMES
    max_turn_bytes: int = MAX_TURN_BYTES
