"""The line that says how far something is."""

import io

from node.cli.progress import Progress


class Terminal(io.StringIO):
    """A stream that eyes look at."""

    def isatty(self) -> bool:
        return True


class Watch:
    """A clock that a test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_terminal_sees_a_bar_that_is_rewritten_in_place() -> None:
    terminal, watch = Terminal(), Watch()
    progress = Progress(terminal, watch)
    progress.show("1,000 rows", 0.5)
    watch.now_s = 1.0
    progress.show("2,000 rows", 1.0)
    progress.clear()
    first, second, last = terminal.getvalue().split("\r\x1b[K")[1:]
    assert first == f"[{'#' * 15}{'.' * 15}]  50% 1,000 rows"
    assert second == f"[{'#' * 30}] 100% 2,000 rows"
    assert last == ""


def test_news_faster_than_eyes_are_left_out() -> None:
    terminal, watch = Terminal(), Watch()
    progress = Progress(terminal, watch)
    for number in range(100):
        watch.now_s = number / 1000
        progress.show(f"{number} rows")
    assert terminal.getvalue().count("rows") == 1


def test_a_file_or_a_pipe_sees_nothing() -> None:
    pipe = io.StringIO()
    progress = Progress(pipe)
    progress.show("rows", 0.5)
    progress.clear()
    assert pipe.getvalue() == ""
