"""Progress of long commands: a line on the terminal while it lasts, nothing anywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[str, float | None, float | None], None]


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Give a function that shows a text, how much is done and how much there is (None: not known), on a terminal only.

    It writes to stderr, so that stdout holds the result alone.
    """
    if not sys.stderr.isatty():
        yield lambda text, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(text: str, done: float | None, total: float | None) -> None:
            bar.update(task, description=f"{title}: {text}", completed=done or 0, total=total)

        yield show
