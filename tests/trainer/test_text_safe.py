"""Text from strangers is harmless once it is cleaned."""

import pytest
from cnn_explorer.trainer.common.text_safe import clean, log_line, pad, shorten, width
from hypothesis import given
from hypothesis import strategies as st

ATTACKS = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]0;title\x07text": "text",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1bPq#0\x1b\\after": "after",
    "\x9b2Jc1": "c1",
    "\x1b(0chars": "chars",
    "\x1b[": "",
    "a\nb\tc\r\nd": "a b c d",
    "right\u202eleft\u2066": "rightleft",
    "lone \ud83d end": "lone  end",
    "\ufeffmark\u2028line": "mark line",
    "naïve 猫 👩‍🔬": "naïve 猫 👩‍🔬",
    "be\u200bst": r"be\u200bst",
    "be\u200dst \ufe0f": r"be\u200dst \ufe0f",
    "\u3164": r"\u3164",
    "so\xadft \U000e0041": r"so\xadft \U000e0041",
    "é\u200d\u200dé": r"é\u200d\u200dé",
    "سلام\u200cها 1\ufe0f\u20e3 👁\ufe0f\u200d🗨": "سلام\u200cها 1\ufe0f\u20e3 👁\ufe0f\u200d🗨",
}


@pytest.mark.parametrize("text", ATTACKS)
def test_text_is_made_harmless(text):
    assert clean(text) == ATTACKS[text]


@given(st.text(st.characters(codec=None)) | st.text(st.sampled_from("\x1b[]()0;1m\x07\x9b\x9c\\PX\r\n\ta\ud800")))
def test_cleaned_text_has_no_controls_and_can_be_printed(text):
    for cleaned in (clean(text), log_line(text)):
        cleaned.encode("utf-8")
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)
        assert clean(cleaned) == cleaned


@given(st.text(), st.integers(1, 30))
def test_cut_and_padded_text_has_the_wanted_width(text, cells):
    text = clean(text)
    short = shorten(text, cells)
    if width(text) <= cells:
        assert short == text
    else:  # a wide character that does not fit leaves one cell
        assert cells - 1 <= width(short) <= cells and short.endswith("…") and text.startswith(short[:-1])
    left, right = pad(text, cells), pad(text, cells, right=True)
    assert width(left) == width(right) == cells
    assert left.startswith(short) and right.endswith(short)
