"""How a function becomes a command: the options that every command has, the session it works in, its exit status."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, cast

import typer

from cli import output
from cli.targets import DATA_DIR_VARIABLE, DEFAULT_DATA_DIR, Services, data_directory

P = ParamSpec("P")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="D",
        help=f"The local stack's data directory; default {DATA_DIR_VARIABLE}, else {DEFAULT_DATA_DIR}/.",
    ),
]


@dataclass
class _Given:
    """The shared options as given before a command's name, which is where the command itself cannot see them."""

    json: bool = False
    data_dir: Path | None = None

    def take(self, as_json: bool, data_dir: Path | None) -> None:
        self.json = self.json or as_json
        self.data_dir = data_dir or self.data_dir


_given = _Given()


class Session:
    """One run of one command: the services it calls and the way it prints."""

    def __init__(self, name: str, *, as_json: bool, data_dir: Path | None) -> None:
        self.name = name
        self.json = as_json
        self.data_dir = data_directory(data_dir)

    @cached_property
    def services(self) -> Services:
        """The services; nothing is opened before the first call."""
        return Services(self.data_dir, request=self.name)

    def close(self) -> None:
        """Close what the session opened."""
        if "services" in self.__dict__:
            self.services.__exit__()

    def show(self, value: Mapping[str, Any], *, hide: Sequence[str] = ()) -> None:
        """Print one object: JSON, or `key: value` lines without the keys of `hide`."""
        if self.json:
            output.print_json(value)
        else:
            output.print_fields({key: item for key, item in value.items() if key not in hide})

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
        """Print a list: a JSON array of whole objects, or a table of some columns; `empty` says that there is none."""
        rows = list(rows)
        if self.json:
            output.print_json(rows)
        else:
            output.print_table(rows, columns, empty=empty)

    def done(self, value: Mapping[str, Any], sentence: str) -> None:
        """Print what was done: JSON, or a sentence."""
        if self.json:
            output.print_json(value)
        else:
            output.write(f"{sentence}\n")


def root(**settings: Any) -> typer.Typer:
    """The application; forgets the shared options of an earlier run in the same process."""
    app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, **settings)

    @app.callback()
    def shared(json: JsonOption = False, data_dir: DataDirOption = None) -> None:
        _given.json, _given.data_dir = json, data_dir

    return app


def noun(name: str, help: str) -> typer.Typer:
    """A group of commands about one thing."""
    app = typer.Typer(name=name, no_args_is_help=True, help=help)

    @app.callback()
    def shared(json: JsonOption = False, data_dir: DataDirOption = None) -> None:
        _given.take(json, data_dir)

    return app


def command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[Concatenate[Session, P], None]]:
    """Make a function a command of `app`; its first parameter is the session, the rest are its arguments and options.

    Adds `--json` and `--data-dir`, which may stand before the noun, before the verb, or anywhere after it.
    """

    full_name = " ".join(("rollcall", *filter(None, (app.info.name,)), name))

    def register(function: Callable[Concatenate[Session, P], None]) -> Callable[Concatenate[Session, P], None]:
        app.command(name)(_in_session(function, full_name))
        return function

    return register


def listing_noun(name: str, help: str, listing: Callable[..., None]) -> typer.Typer:
    """A group of commands about one thing that, without a verb, is a command itself; see `command`."""
    app = typer.Typer(name=name, invoke_without_command=True, help=help)
    run = _in_session(listing, f"rollcall {name}")

    @functools.wraps(run)
    def alone(*, context: typer.Context, json: bool, data_dir: Path | None, **arguments: Any) -> None:
        if context.invoked_subcommand is None:
            run(json=json, data_dir=data_dir, **arguments)
        else:
            _given.take(json, data_dir)

    given = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    own = inspect.signature(run).parameters.values()
    alone.__signature__ = inspect.Signature([given, *own])  # type: ignore[attr-defined]
    app.callback()(alone)
    return app


def _in_session(function: Callable[Concatenate[Session, P], None], full_name: str) -> Callable[..., None]:
    """Make what the library calls: it opens the session of a run, and closes it."""

    @functools.wraps(function)
    def run(*, json: bool, data_dir: Path | None, **arguments: Any) -> None:
        _given.take(json, data_dir)
        session = Session(full_name, as_json=_given.json, data_dir=_given.data_dir)
        try:
            cast(Callable[..., None], function)(session, **arguments)
        finally:
            session.close()

    shared = [
        inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption),
        inspect.Parameter("data_dir", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DataDirOption),
    ]
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
    ]
    run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    return run
