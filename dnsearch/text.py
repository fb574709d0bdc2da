"""Small pieces of English: plurals, lists, sentences."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, thing: str, things: str = "") -> str:
    """``1 worker``, ``2 workers``, ``1,200 images``; ``things`` is the plural where it is not the
    singular and an s."""
    return f"{number:,} {agreeing(number, thing, things or f'{thing}s')}"


def agreeing(number: float, one: str, many: str) -> str:
    """The form of a word that agrees with this number: ``is`` or ``are``."""
    return one if number == 1 else many


def listed(words: Sequence[str], joint: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``; empty for none."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joint} {words[-1]}"


def data_size(size: float) -> str:
    """So many bytes, such as ``2.5 GB`` or ``99 MB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def capitalised(text: str) -> str:
    """The text with a capital in front; what follows stays as it is."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """The text with a capital in front and a full stop behind; empty for none."""
    return f"{capitalised(text)}." if text else ""


def as_unicode(text: str) -> str:
    """The text without what UTF-8 cannot hold: names of files, which a locale such as C gives by
    their bytes, as they are spelt in UTF-8, and ``\N{REPLACEMENT CHARACTER}`` for other bytes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_cell(text: str) -> str:
    """A text as a cell of a CSV file, which no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
