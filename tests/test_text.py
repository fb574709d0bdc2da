"""Text that UTF-8 can hold."""

import os

from dnsearch.files import write_text
from dnsearch.text import as_unicode


def test_names_of_files_in_a_locale_without_unicode():
    """As Python decodes them in the C locale, and on any where they are no UTF-8."""
    told = "é.png".encode().decode("ascii", "surrogateescape")
    assert as_unicode(told) == "é.png"
    assert as_unicode(os.fsdecode(b"b\xff.png")) == "b\N{REPLACEMENT CHARACTER}.png"
    assert as_unicode("plain ä") == "plain ä"


def test_files_that_name_them_can_be_read_back(tmp_path):
    write_text(tmp_path / "x.txt", os.fsdecode(b"b\xff.png"))
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "b\N{REPLACEMENT CHARACTER}.png"
