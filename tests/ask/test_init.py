"""A folder is described as a corpus that `doctor` accepts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from formats.samples import ALL, VIDEO

import tinyvirat_build as tvb
from tinyvirat_build import sources
from tinyvirat_build.ask.doctor import diagnose
from tinyvirat_build.ask.init import recognise
from tinyvirat_build.cli import main
from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.settings import Settings


@pytest.mark.parametrize(("form", "dialect", "files"), ALL)
def test_every_format_is_recognised(
    form: str, dialect: str, files: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "truth"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{VIDEO}{name}").write_text(text)
    found = recognise(tmp_path)
    told = (dialect or "nist") if form == "actev-json" else ""  # without one, a file index tells
    assert (found.format, found.dialect) == (form, told)
    path = tmp_path / "corpus.yaml"
    path.write_text(found.render())
    source = sources.get(str(path))
    assert (source.name, source.format) == (tmp_path.name, form)  # type: ignore[attr-defined]
    diagnosis = diagnose(source, tmp_path, Settings.load())
    assert not diagnosis.problems
    assert sum(found.names.values()) == diagnosis.kept
    assert all(name.labels for name in diagnosis.names)


def test_the_pedestrians_are_described_and_built(shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "street"
    shutil.copytree(shared / "data" / "pedestrians", folder)
    said = CliRunner().invoke(main, ["init", str(folder)])
    assert said.exit_code == 0, said.output
    assert "1 annotated video in kpf, 70 activities of 3 names" in said.output
    text = (folder / "street.yaml").read_text()
    assert "width: 768\nheight: 576\nfps: 10\n" in text
    assert "#   activity_walking: activity_walking  # 61" in text
    assert "count from 1" not in text
    built = tvb.build(folder / "street.yaml", tmp_path / "out", until="filter")
    assert len(built.table("clips_planned"))
    again = CliRunner().invoke(main, ["init", str(folder)])
    assert again.exit_code == 2
    assert "give --force" in again.output
    assert CliRunner().invoke(main, ["init", str(folder), "--force"]).exit_code == 0


def test_annotations_that_end_after_their_video_are_asked_about(
    shared: Path, tmp_path: Path
) -> None:
    for path in (shared / "data" / "pedestrians").iterdir():
        shutil.copy(path, tmp_path)
    activities = tmp_path / "vtest.activities.yml"
    activities.write_text(activities.read_text().replace("794]", "795]"))
    assert "ends 1 frames after the video's 795: does the annotation count" in (
        recognise(tmp_path).render()
    )


def test_what_cannot_be_described_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(DataError, match="in any of the formats kpf"):
        recognise(tmp_path)
    (tmp_path / "a.activities.yml").write_text("- { act: }\n")
    with pytest.raises(DataError, match="can be read as kpf"):
        recognise(tmp_path, "kpf")
    with pytest.raises(SettingsError, match="found 'kpff'"):
        recognise(tmp_path, "kpff")
