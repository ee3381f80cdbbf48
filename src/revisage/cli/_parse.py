"""From arguments to a frozen dataclass, with the exit code that a command returns when they are wrong.

Each field is an option, or an argument (`Arg.positional`): its type says which values it has, its docstring
is the help. The fields of a dataclass in it are options like the others.
"""

import argparse
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval

from revisage.cli._say import say
from revisage.errors import UsageError, did_you_mean
from revisage.files import typed
from revisage.options import Arg, explained, in_words, refusal

Options = TypeVar("Options")

_METAVARS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def parse(
    options: type[Options],
    prog: str,
    argv: Sequence[str],
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    examples: str | None = None,
) -> Options:
    """Parse `argv` into the dataclass `options` for the command `prog`. In the help, `groups` has names of
    fields by their headings, the others are for experts, and `examples` is the end. Raises SystemExit after
    --help (0) and after bad arguments (2), which are told on stderr."""
    parser = _Parser(
        prog=f"revisage {prog}",
        description=(options.__doc__ or "").replace("\n    ", "\n"),
        epilog=examples,
        formatter_class=partial(_Formatter, max_help_position=26),
        argument_default=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
    )
    parser._negative_number_matcher = re.compile(r"-[\d.][\d.,-]*$")  # also a box such as -20,-5,60,75
    sections = {name: parser.add_argument_group(name) for name in ("arguments", *(groups or ()))}
    others = parser.add_argument_group("expert" if groups else "options")
    headings = {name: heading for heading, names in (groups or {}).items() for name in names}
    wanted = []
    for field in _shown(options):
        heading = "arguments" if field.arg.positional else headings.get(field.name, "")
        action = _add(sections.get(heading, others), field)
        if action.required or field.arg.positional:
            wanted.append(" ".join([*action.option_strings[-1:], str(action.metavar)]))
    others.add_argument("-h", "--help", action="help", help="Show this.")
    parser.usage = " ".join([f"revisage {prog} [OPTIONS]", *wanted])
    try:
        given, unknown = parser.parse_known_intermixed_args(_without_dashes(argv, parser.options))
        for word in unknown:
            name = word.partition("=")[0]
            if not name.startswith("-"):
                raise UsageError(f"{word!r} is one argument too many")
            raise UsageError(f"there is no option {name}{did_you_mean(name, parser.options)}")
        return _built(options, vars(given))
    except UsageError as error:
        say(f"revisage {prog}: {error}", error=True)
        raise SystemExit(2) from None


def _without_dashes(argv: Sequence[str], options: Sequence[str]) -> list[str]:
    """The arguments without `--`, and behind it names that begin with - as paths. Raises UsageError.
    (argparse loses arguments behind it where options and others may be mixed.)"""
    before, names = list(argv), []
    if "--" in before:
        at = before.index("--")
        before, names = before[:at], before[at + 1 :]
    for name in before:
        is_option = not name.startswith("-") or name == "-" or name.partition("=")[0] in options
        if not is_option and os.path.exists(name):
            raise UsageError(f"{name} looks like an option: for the file write ./{name}")
    for name in names:
        if name.partition("=")[0] in options and not Path(name).exists():
            raise UsageError(f"{name} stands behind --, where names of files stand: put it before")
    return before + [f"./{name}" if name.startswith("-") and name != "-" else name for name in names]


def parse_command(commands: Mapping[str, type], prog: str, argv: Sequence[str]) -> Any:
    """Parse the rest of `argv` into the one of `commands` that its first word names. Raises SystemExit."""
    name = argv[0] if argv else ""
    if name in commands:
        return parse(commands[name], f"{prog} {name}", argv[1:])
    if name in ("-h", "--help"):
        print(f"usage: revisage {prog} {{{','.join(commands)}}}\n")
        for each, kind in commands.items():
            print(f"  {each:<9} {(kind.__doc__ or '').partition(chr(10))[0]}")
        raise SystemExit(0)
    hint = did_you_mean(name, commands) or f"; choose one of {', '.join(commands)}"
    say(f"revisage {prog}: " + (f"there is no {name!r}{hint}" if name else f"say what{hint}"), error=True)
    raise SystemExit(2)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


class _Parser(argparse.ArgumentParser):
    @property
    def options(self) -> list[str]:
        """Of each option every name."""
        return list(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError for what argparse finds, in our words."""
        names, _, what = message.removeprefix("argument ").partition(": ")
        option = names.rpartition("/")[2]
        if what.startswith("expected"):
            metavar = self._option_string_actions[option].metavar or ""
            raise UsageError(f"{option} needs {metavar if isinstance(metavar, str) else ' '.join(metavar)}")
        raise UsageError(f"{option} takes no value" if what.startswith("ignored") else f"missing: {what}")


@dataclass(frozen=True)
class _Shown:
    """A field that the command line shows; `path` leads to it through nested dataclasses."""

    path: str
    name: str
    kind: Any
    default: Any
    arg: Arg
    interval: Interval | None
    text: str


def _shown(kind: Any, prefix: str = "") -> Iterator[_Shown]:
    hints, texts = get_type_hints(kind, include_extras=True), explained(kind)
    for field in fields(kind):
        hint = hints[field.name]
        plain, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        arg = next((mark for mark in marks if isinstance(mark, Arg)), Arg())
        if is_dataclass(plain):
            yield from _shown(plain, f"{prefix}{field.name}.")
        elif not arg.only_in_python:
            options = [part for part in _parts(plain) if part is not NoneType]
            text = re.sub(r"\s*In Python .*?\.(?!\S)", "", arg.help or texts.get(field.name, ""))
            interval = next((mark for mark in marks if isinstance(mark, Interval)), None)
            kind = options[0] if len(options) == 1 else plain
            yield _Shown(prefix + field.name, field.name, kind, field.default, arg, interval, text)


def _parts(kind: Any) -> tuple[Any, ...]:
    """Of a union its members."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _add(section: argparse._ArgumentGroup, field: _Shown) -> argparse.Action:
    """The option or argument of a field."""
    text, arg = field.text.replace("%", "%%"), field.arg
    names = [*arg.aliases, f"--{(arg.name or field.name).replace('_', '-')}"]
    if field.kind is bool:
        way = argparse.BooleanOptionalAction if field.default else "store_true"
        return section.add_argument(*names, dest=field.path, action=way, help=text)
    if field.default not in (None, "", (), MISSING):
        plain = field.default // arg.unit if arg.unit != 1 else field.default
        default = plain if isinstance(plain, tuple) else (plain,)
        text += f" (default: {' '.join(map(str, default))})"
    parts = get_args(field.kind) if get_origin(field.kind) is tuple else (field.kind,)
    metavar = arg.metavar or _METAVARS.get(parts[0]) or f"{{{','.join(map(str, get_args(parts[0])))}}}"
    how: dict[str, Any] = {"help": text, "metavar": metavar}
    if parts[-1] is ...:
        if not arg.repeated:
            how["nargs"] = "+" if arg.positional and field.default is MISSING else "*"
    elif len(parts) > 1:
        how |= {"nargs": len(parts), "metavar": tuple(metavar.split())}
    if arg.positional:
        return section.add_argument(field.path, type=partial(_read, metavar, field.interval, parts[0]), **how)
    read = partial(_read, names[-1], field.interval, parts[0])
    how |= {"dest": field.path, "required": field.default is MISSING}
    if parts[-1] is ...:
        how["action"] = "append" if arg.repeated else "extend"
    how["type"] = read if arg.unit == 1 else lambda text: read(text) * arg.unit
    return section.add_argument(*names, **how)


def _read(option: str, interval: Interval | None, kind: Any, text: str) -> Any:
    """What the user gave, as a value of a type. Raises UsageError."""
    wishes = []
    for part in _parts(kind):
        if get_origin(part) is Literal:
            found = next((choice for choice in get_args(part) if str(choice) == text), text)
            wish = refusal(found, get_args(part), None)
        else:
            try:
                found = typed(text) if part is Path else part(text)
                wish = refusal(found, (), interval)
            except ValueError:
                wish = f"give {in_words(interval) if interval else 'a number'}"
        if wish is None:
            return found
        wishes.append(wish)
    raise UsageError(f"{option} {text}: {', or '.join(wishes)}")


def _built(kind: type[Options], given: Mapping[str, Any], prefix: str = "") -> Options:
    """The dataclass of what was given, and its defaults. Raises UsageError."""
    hints, values = get_type_hints(kind), {}
    for field in fields(kind):  # type: ignore[arg-type]
        path = prefix + field.name
        if is_dataclass(hints[field.name]):
            values[field.name] = _built(hints[field.name], given, f"{path}.")
        elif path in given:
            value = given[path]
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)
