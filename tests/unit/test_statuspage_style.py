"""The page's colours can be read in both palettes, and its rules name colours that exist."""

from __future__ import annotations

import re

import pytest

from watcher.status.style import DARK, LIGHT, PAIRS, SHAPES, STYLE


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_guidelines_do() -> None:
    """Black on white, and a grey of which its value is published."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("pair", PAIRS, ids="-on-".join)
def test_text_can_be_read(palette: dict[str, str], pair: tuple[str, str]) -> None:
    """WCAG 2.2 AA: 4.5 to 1, also for small text."""
    text, ground = pair
    assert contrast(palette[text], palette[ground]) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("pair", SHAPES, ids="-on-".join)
def test_shapes_can_be_told_apart(palette: dict[str, str], pair: tuple[str, str]) -> None:
    """WCAG 2.2 AA: 3 to 1 for the frames of fields, the focus and the parts of the bar."""
    shape, ground = pair
    assert contrast(palette[shape], palette[ground]) >= 3


def test_every_colour_of_a_rule_is_in_both_palettes() -> None:
    """A name that is misspelt is no error: the text is just black."""
    assert set(LIGHT) == set(DARK)
    assert set(re.findall(r"var\(--([a-z-]+)\)", STYLE)) <= set(LIGHT)
    assert not re.findall(r"[^-]color:#", STYLE)


def test_every_text_colour_is_checked_on_its_ground() -> None:
    """A new tone comes with its pair, or it was never computed."""
    checked = {text for text, _ in PAIRS}
    rules = STYLE[STYLE.rindex("*{box-sizing") :]
    used = set(re.findall(r"[{;]color:var\(--([a-z-]+)\)", rules))
    assert used <= checked
