"""How figures are saved: every file of one, and its colours on a dark page."""

from __future__ import annotations

import re

import pytest

from tinyvirat_build import plots

COLOUR = re.compile(r"#[0-9a-f]{6}\b")


def drawn(*colours: str) -> dict[str, bytes]:
    """The files of a figure of a line a colour."""
    with plots.styled():
        figure, axes = plots.new(2, 1)
        for colour in colours:
            axes.plot([0, 1], color=colour)
        axes.set_ylabel("words")
        return plots.files(figure, "some", png=True, dark={"#d55e00": "#ff9150"})


def test_a_figure_is_saved_light_dark_and_for_print() -> None:
    files = drawn(plots.BLUE)
    assert list(files) == ["some.svg", "some-dark.svg", "some.png"]
    assert files == drawn(plots.BLUE)


@pytest.mark.parametrize(
    ("light", "dark"),
    [(plots.BLUE, "#56b4e9"), (plots.GREY, "#c9ccd0"), ("#d55e00", "#ff9150")]
    + list(zip(plots.scale(), plots.scale(dark=True), strict=True)),
)
def test_a_colour_has_its_own_in_the_dark(light: str, dark: str) -> None:
    files = drawn(light)
    page, ink, line = plots.PAGE, plots.INK, light
    assert {page, ink, line} <= set(COLOUR.findall(files["some.svg"].decode()))
    shown = files["some-dark.svg"].decode()
    assert not {page, ink, line} & set(COLOUR.findall(shown))
    assert {"#15181b", "#e6e8ea", dark} <= set(COLOUR.findall(shown))
    assert '<g style="fill: #e6e8ea">' in shown  # of what has no colour of its own, as words
