"""Lines of words keep every letter."""

from bsig.explain.drawing.text import font, wrapped_lines


def test_wrapped_lines_keep_every_letter_and_the_width():
    text = "softmax claims evidence for 'golf ball' in averyveryverylongfilenamewithoutanyspace.jpeg\nnext"
    lines = wrapped_lines(text, font(17), 120)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(font(17).getlength(line) for line in lines) <= 120
    assert wrapped_lines("", font(17), 120) == [""]
