"""`revisage label`: what the labels in files say, and whether a signature holds."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from revisage.batch.plan import FILMS, is_named_like_a_photo
from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import RuntimeUnavailableError, UsageError
from revisage.image.formats import HEAD_BYTES, format_of, sniff
from revisage.label import Signature, read, signature
from revisage.label.signature import MARK, settings
from revisage.options import Arg

MEANING = {
    "trusted": "holds, and the certificate leads to one of the roots",
    "valid": "holds, but whose certificate it is, no root says",
    "invalid": "DOES NOT HOLD",
}


@dataclass(frozen=True)
class Options:
    """Show the labels in files: what was edited with AI (XMP), and who signed it (C2PA).

    Nothing is fetched. Exit code 1: a signature does not hold, or a file cannot be read.
    """

    files: Annotated[tuple[Path, ...], Arg(metavar="FILE|DIR", positional=True)]
    """Pictures, made by Revisage or by others; of a folder those in it and below."""
    roots: Annotated[Path | None, Arg(metavar="ROOTS.pem")] = None
    """Certificates that you trust to say who somebody is, such as the C2PA trust list."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: shown, 1: a signature does not hold or a file cannot be read, 2: bad usage."""
    options = parse(Options, "label", argv)
    try:
        roots = None if options.roots is None else options.roots.read_bytes()
    except OSError as error:
        raise UsageError(f"--roots {options.roots} cannot be read ({error.strerror or error})") from None
    if not options.files:
        raise UsageError("name at least one file")
    with suppress(ModuleNotFoundError):  # without which every file says so
        settings(roots)
    return max([_show(path, roots, given) for given in options.files for path in _pictures(given)])


def _pictures(given: Path) -> list[Path]:
    """The file itself, or what may be pictures or films below a folder. Raises UsageError for none."""
    if not given.is_dir():
        return [given]
    files = [path for path in sorted(given.rglob("*")) if path.is_file()]
    found = [path for path in files if is_named_like_a_photo(path.relative_to(given), but=FILMS)]
    if not found:
        raise UsageError(f"no pictures in {given}")
    return found


def _show(path: Path, roots: bytes | None, given: Path) -> int:
    try:
        data = path.read_bytes()
    except (OSError, MemoryError) as error:
        why = getattr(error, "strerror", None) or str(error) or "there is too little memory"
        say(f"{path}: it cannot be read ({why})", error=True)
        return 1
    label = read(data)
    film = path.suffix.lower() in FILMS
    known = sniff(data[:HEAD_BYTES]) is not None or data[4:8] == b"ftyp" or (film and data)
    if not known and label is None and MARK not in data:
        say(f"{path}: it is {'no picture' if data else 'empty'}", error=True)
        return 1 if path == given or format_of(path) or film else 0  # in a folder may lie a README
    say(path)
    edited = label and f"edited with AI by {label.tool}: {', '.join(label.models)}"
    _line("label", edited or "none by Revisage")
    try:
        signed = signature(data, roots)
    except RuntimeUnavailableError as error:
        _line("signature", f"not looked for: {error}")
        return 0
    for name, text in _signed(signed):
        _line(name, text)
    return 1 if signed is not None and signed.state == "invalid" else 0


def _signed(signed: Signature | None) -> Iterator[tuple[str, str]]:
    if signed is None:
        yield "signature", "none"
        return
    of = f" of {signed.organisation}" if signed.organisation else ""
    facts: dict[str, Iterable[str | None]] = {
        "signature": [MEANING[signed.state]],
        "problem": signed.problems,
        "signed by": [] if signed.signer is None else [f"{signed.signer}{of}, with {signed.tool}"],
        "signed at": [signed.time],
        "actions": [", ".join(signed.actions)],
        "source": signed.source_types,
        "model": [f"{model}, SHA-256 {' and '.join(some) or 'unknown'}" for model, some in signed.models],
        "made from": []
        if signed.parent is None
        else [f"{signed.parent}, SHA-256 {signed.original or 'not stated'}"],
        "earlier": [
            f"signed by {one.signer} with {one.tool}{'' if one.held else ', which did not hold'}"
            for one in signed.earlier
        ],
    }
    yield from ((name, text) for name, texts in facts.items() for text in texts if text)


def _line(name: str, text: str) -> None:
    # What a file says of itself may hold anything, also what a terminal obeys.
    say(f"  {name:<9}  {''.join(c for c in text if c.isprintable())}")
