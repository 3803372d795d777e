"""The answer file: what is written is read back, every kind of fault is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

sklearn_metrics = pytest.importorskip("sklearn.metrics")
pytest.importorskip("torch")

from tinyvirat_build.cli import main  # noqa: E402
from tinyvirat_build.errors import DataError, SubmissionError  # noqa: E402
from tinyvirat_build.scoring import submission  # noqa: E402

CLASSES = ("Opening", "Interacts", "Pull")
LABELS = [["Opening"], ["Pull", "Interacts"], ["Opening"]]
GOOD = ["00000 1 0 0", "00001 0 1 0", "00002 0 0 0"]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    rows = [
        {"id": f"{n:05d}", "video_id": "v", "path": "x", "dim": [8, 20, 20], "label": label}
        for n, label in enumerate(LABELS)
    ]
    file = tmp_path / "build" / "truth" / "test.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(rows))
    layout = tmp_path / "build" / "TinyVIRAT_V2"
    layout.mkdir()
    (layout / "class_map.json").write_text(json.dumps({c: i for i, c in enumerate(CLASSES)}))
    return file


def answer(tmp_path: Path, lines: list[str], end: str = "\n") -> Path:
    file = tmp_path / "answer.txt"
    file.write_bytes(("\n".join(lines) + end).encode())
    return file


@pytest.mark.parametrize("end", ["\n", ""])
def test_scores_as_scikit_learn(tmp_path: Path, truth: Path, end: str) -> None:
    report = submission.score(answer(tmp_path, GOOD, end), truth)
    labels = [[c in label for c in CLASSES] for label in LABELS]
    said = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    f1 = sklearn_metrics.f1_score(labels, said, average="macro", zero_division=0)
    assert report.scores.macro("all").f1 == pytest.approx(f1)
    assert "macro (all)" in report.text()
    assert report.to_dict()["clips"] == 3


FAULTS = {
    "missing in the middle": (["00000 1 0 0", "00002 0 0 0"], 2, "00001 is missing"),
    "missing at the end": (GOOD[:2], 3, "00002 is missing"),
    "extra": ([*GOOD, "00003 0 0 0"], 4, "not a test clip"),
    "doubled": ([*GOOD[:2], GOOD[1], GOOD[2]], 3, "again, first on line 2"),
    "unordered": ([GOOD[1], GOOD[0], GOOD[2]], 2, "not ascending"),
    "narrow": ([GOOD[0], "00001 0 1", GOOD[2]], 2, "2 values, 3 expected"),
    "wide": ([GOOD[0], "00001 0 1 0 0", GOOD[2]], 2, "4 values, 3 expected"),
    "not binary": ([GOOD[0], "00001 0 2 0", GOOD[2]], 2, "'2' is not 0 or 1"),
    "a probability": ([GOOD[0], GOOD[1], "00002 0 0.5 0"], 3, "'0.5' is not 0 or 1"),
    "short number": (["0 1 0 0", *GOOD[1:]], 1, "five digits"),
    "long number": (["000000 1 0 0", *GOOD[1:]], 1, "five digits"),
    "no number": (["clip 1 0 0", *GOOD[1:]], 1, "five digits"),
    "two spaces": ([GOOD[0], "00001  0 1 0", GOOD[2]], 2, "single spaces"),
    "tabs": ([GOOD[0], "00001\t0\t1\t0", GOOD[2]], 2, "five digits"),
    "space at the end": ([GOOD[0] + " ", *GOOD[1:]], 1, "single spaces"),
    "carriage return": ([GOOD[0] + "\r", *GOOD[1:]], 1, "single spaces"),
    "a last carriage return": ([*GOOD[:2], GOOD[2] + "\r"], 3, "CRLF"),
    "Windows line ends": ([line + "\r" for line in GOOD], 1, "all lines end in CRLF"),
    "byte order mark": (["\ufeff" + GOOD[0], *GOOD[1:]], 1, "byte order mark"),
    "a number of 5,000 digits": ([*GOOD, "9" * 5000 + " 0 0 0"], 4, "five digits"),
    "empty line": ([GOOD[0], "", *GOOD[1:]], 2, "five digits"),
    "other digits": ([GOOD[0], "00001 0 ١ 0", GOOD[2]], 2, "is not 0 or 1"),
    "empty file": ([], 1, "five digits"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_refused_with_its_line(tmp_path: Path, truth: Path, kind: str) -> None:
    lines, number, what = FAULTS[kind]
    file = answer(tmp_path, lines)
    with pytest.raises(SubmissionError) as caught:
        submission.score(file, truth)
    assert (number, True) in [(n, what in text) for n, text in caught.value.problems]
    assert str(caught.value).startswith(f"{file}:")


def test_all_faults_are_told_at_once(tmp_path: Path, truth: Path) -> None:
    file = answer(tmp_path, ["00000 1 0", "00001 0 1 2", "00009 0 0 0"])
    with pytest.raises(SubmissionError, match=r"answer\.txt:1: 2 values.*\(and 3 more\)") as caught:
        submission.score(file, truth)
    assert [n for n, _ in caught.value.problems] == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("order", "extra", "marked"),
    [
        ([5, 0, 1, 2, 3, 4], [], [1]),
        ([0, 2, 3, 4, 5, 1], [], [6]),
        ([0, 1, 2, 3, 4, 5], [(0, "99999 0 0 0")], [1]),
        ([0, 1, 5, 2, 3, 4], [(0, "00077 0 0 0")], [1, 4]),
    ],
)
def test_only_the_lines_out_of_place_are_marked(
    tmp_path: Path, order: list[int], extra: list[tuple[int, str]], marked: list[int]
) -> None:
    lines = [f"{n:05d} 0 0 0" for n in order]
    for place, line in extra:
        lines.insert(place, line)
    with pytest.raises(SubmissionError) as caught:
        submission.read_answer(answer(tmp_path, lines), range(6), 3)
    assert [line for line, _ in caught.value.problems] == marked


@given(st.permutations(range(8)))
def test_a_longest_ascending_run(clips: list[int]) -> None:
    """Against all subsets."""
    kept = submission.ascending(clips)
    run = [clip for clip in clips if clip in kept]
    assert run == sorted(run)
    subsets = ([c for n, c in enumerate(clips) if bits >> n & 1] for bits in range(1 << 8))
    assert len(run) == max(len(s) for s in subsets if s == sorted(s))


def test_windows_line_ends_and_marks_are_one_problem(tmp_path: Path) -> None:
    for text, count in (
        ("\r\n".join(GOOD) + "\r\n", 1),
        ("\ufeff" + "\n".join(GOOD) + "\n", 1),
        ("\ufeff" + "\r\n".join(GOOD) + "\r\n", 2),
    ):
        for encoding in ("utf-8", "utf-16"):
            file = tmp_path / "answer.txt"
            own = text.removeprefix("\ufeff") if encoding == "utf-16" else text
            file.write_bytes(own.encode(encoding))
            marks = encoding == "utf-16" and not text.startswith("\ufeff")
            with pytest.raises(SubmissionError) as caught:
                submission.read_answer(file, range(3), 3)
            assert len(caught.value.problems) == count + marks


def test_rows_of_truth_may_be_numbered_as_they_like(tmp_path: Path, truth: Path) -> None:
    rows = json.loads(truth.read_text())
    expected = submission.score(answer(tmp_path, GOOD), truth).scores.f1
    rows[0]["id"], rows[1]["id"], rows[2]["id"] = "0", 1, "00002"
    truth.write_text(json.dumps({"tubes": rows[::-1]}))
    found = submission.score(answer(tmp_path, GOOD), truth).scores.f1
    np.testing.assert_array_equal(found, expected)
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(CLASSES) + "\n")
    found = submission.score(answer(tmp_path, GOOD), truth, class_map=classes).scores.f1
    np.testing.assert_array_equal(found, expected)


def test_truth_without_usable_rows_is_refused(tmp_path: Path, truth: Path) -> None:
    rows = json.loads(truth.read_text())
    file = answer(tmp_path, GOOD)
    for tree, what in (
        ([], "no rows"),
        ({"Opening": 0}, "no rows"),
        (None, "no rows"),
        ([*rows, {**rows[0], "id": "0"}], "same number"),
        ([*rows, {**rows[0], "id": 0}], "same number"),
        ([{**rows[0], "id": "9" * 5000}], "not numbers"),
        ([{**rows[0], "id": "-1"}], "not numbers"),
        ([{**rows[0], "id": None}], "not rows"),
        ([{**rows[0], "label": "Opening"}], "not rows"),
        (["a"], "not rows"),
    ):
        truth.write_text(json.dumps(tree))
        with pytest.raises(DataError, match=what):
            submission.score(file, truth)
    classes = tmp_path / "classes.txt"
    classes.write_text("Opening\nOpening\n")
    with pytest.raises(DataError, match="different classes"):
        submission.score(file, truth, class_map=classes)


def test_the_command_tells_the_first_problems_and_all_as_json(tmp_path: Path, truth: Path) -> None:
    file = answer(tmp_path, [f"{n:05d} 2 0 0" for n in range(3, 33)])
    arguments = ["score", str(file), "--truth", str(truth)]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 2
    assert told.stdout == ""
    lines = told.stderr.splitlines()
    assert len(lines) == 21
    assert all(line.startswith(f"error: {file}:") for line in lines[:20])
    assert lines[-1] == "13 more; see --json; mend the file"
    told = CliRunner().invoke(main, [*arguments, "--json"])
    assert told.exit_code == 2
    assert len(json.loads(told.stdout)["problems"]) == 33


def test_truth_that_cannot_be_used_is_refused(tmp_path: Path, truth: Path) -> None:
    file = answer(tmp_path, GOOD)
    with pytest.raises(DataError, match="no such file"):
        submission.score(file, tmp_path / "none.json", class_map=_map_of(truth))
    with pytest.raises(DataError, match="class_map"):
        submission.score(file, tmp_path / "none.json")
    other = tmp_path / "map.json"
    other.write_text(json.dumps({"Opening": 0, "Interacts": 1}))
    with pytest.raises(DataError, match="'Pull' is no class"):
        submission.score(file, truth, class_map=other)
    other.write_text(json.dumps({"Opening": 1, "Interacts": 2}))
    with pytest.raises(DataError, match="not a class map"):
        submission.score(file, truth, class_map=other)
    with pytest.raises(DataError, match="cannot be read"):
        submission.score(tmp_path / "nothing.txt", truth)
    truth.write_text('{"tubes": 3}')
    with pytest.raises(DataError, match="not rows"):
        submission.score(file, truth)


def _map_of(truth: Path) -> Path:
    return truth.parent.parent / "TinyVIRAT_V2" / "class_map.json"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(1, 30)), int(rng.integers(1, 27))
    ids = rng.choice(200_000, n, replace=False)
    said = rng.random((n, c)) < 0.5
    file = tmp_path_factory.getbasetemp() / "roundtrip.txt"
    file.write_text(submission.format_answer([f"{i:05d}" for i in ids], said))
    back = submission.read_answer(file, sorted(ids.tolist()), c)
    np.testing.assert_array_equal(back, said[np.argsort(ids)])
