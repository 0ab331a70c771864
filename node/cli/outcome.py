"""How a command ends."""

from collections.abc import Sequence
from typing import Final

DONE: Final = 0
REFUSED: Final = 1
WRONG: Final = 2


class Failed(Exception):
    """The command ends with `status`; the sentences go to standard error."""

    def __init__(self, *sentences: str, status: int = REFUSED) -> None:
        self.sentences: Sequence[str] = sentences
        self.status = status
        super().__init__("; ".join(sentences))


class WrongUsage(Failed):
    """The command was called or configured wrongly: every mistake is named."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences, status=WRONG)
