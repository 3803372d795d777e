"""Evaluation over packs: windows, flips, thresholds, ensembles, tables, figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from matplotlib.transforms import Bbox

torch = pytest.importorskip("torch", reason="the extra train is not installed")

from killed import whole_and_resumed  # noqa: E402
from loader.synthetic import CLASSES, Shape, make_pack  # noqa: E402

from tinyvirat_build.cli import main  # noqa: E402
from tinyvirat_build.errors import DataError, TrainError  # noqa: E402
from tinyvirat_build.pack.read import open_pack  # noqa: E402
from tinyvirat_build.scoring import evaluate as evaluation  # noqa: E402
from tinyvirat_build.scoring import figures, metrics, pictures, submission, table2  # noqa: E402
from tinyvirat_build.scoring.data import scored_on  # noqa: E402
from tinyvirat_build.scoring.ensemble import Ensemble  # noqa: E402
from tinyvirat_build.scoring.inference import reduce_windows, score_clips  # noqa: E402
from tinyvirat_build.store import hash_file  # noqa: E402
from tinyvirat_build.train import fit, runs  # noqa: E402
from tinyvirat_build.train import settings as train_settings  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def small(*overrides: str) -> train_settings.TrainSettings:
    base = ["epochs=1", "data.frames=4", "data.size=16", "data.batch=4", "schedule.warmup=0"]
    return train_settings.load("demo", overrides=[*base, *overrides])


def shapes(split: str, count: int) -> list[Shape]:
    rng = np.random.default_rng(len(split))
    return [
        Shape(
            int(rng.integers(2, 15)), 12, 14, split=split, labels=tuple({int(rng.integers(3)), 0})
        )
        for _ in range(count)
    ]


def write_layout(build: Path) -> None:
    """The JSON of the layout that belongs to a synthetic pack."""
    pack = open_pack(build)
    (build / "TinyVIRAT_V2").mkdir()
    (build / "truth").mkdir()
    (build / "TinyVIRAT_V2" / "class_map.json").write_text(
        json.dumps({c: i for i, c in enumerate(CLASSES)})
    )
    for split, file in (
        ("train", "TinyVIRAT_V2/tiny_train_v2.json"),
        ("test", "truth/test.json"),
    ):
        rows = [
            {
                "id": str(pack.id[n]),
                "dim": [int(pack.frames[n]), 14, 14],
                "label": [CLASSES[c] for c in np.flatnonzero(pack.labels[n])],
            }
            for n in pack.of_split(split)
        ]
        (build / file).write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A build with a pack, and two runs on it."""
    folder = tmp_path_factory.mktemp("trained")
    build = folder / "build"
    make_pack(build / "pack", shapes("train", 8) + shapes("val", 5) + shapes("test", 6))
    write_layout(build)
    outs = []
    for seed in (0, 1):
        out = folder / f"run{seed}"
        fit.train(small(f"seed={seed}"), build, out, device="cpu", progress=False)
        outs.append(out)
    return build, outs


def opened(outs: Sequence[Path]) -> list[runs.Run]:
    return [runs.open_run(out) for out in outs]


def test_the_runner_takes_the_real_loader(trained: tuple[Path, list[Path]]) -> None:
    build, (out, _) = trained
    assert runs.read_log(out)[0]["step"] == "2"
    assert runs.build_of(out) == build.resolve()
    assert runs.open_run(out).classes == CLASSES


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    """Through the command line and the real loader, by SIGKILL in mid-epoch."""
    make_pack(tmp_path / "pack", shapes("train", 160) + shapes("val", 5))
    options = [
        "deterministic=true",
        "save_every=3",
        "read_every=2",
        "augment.mixup=0.2",
        "epochs=2",
    ]
    whole_and_resumed(small(*options), tmp_path, tmp_path)


def test_a_run_does_not_go_on_with_another_build_or_other_weights(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    build, outs = trained
    shutil.copytree(build, tmp_path / "moved")
    out, start = tmp_path / "run", outs[1] / "best.pt"

    def go_on(build: Path, weights: Path | None, epochs: int) -> None:
        chosen = small("seed=2", "schedule.name=constant", f"epochs={epochs}")
        fit.train(chosen, build, out, device="cpu", weights=weights, progress=False)

    go_on(build, start, 1)
    go_on(tmp_path / "moved", start, 2)
    go_on(build, None, 3)
    assert json.loads((out / "run.json").read_text())["sha256"]["weights"] == hash_file(start)
    make_pack(tmp_path / "other", shapes("train", 8) + shapes("val", 5), seed=9)
    with pytest.raises(TrainError, match="holds a run on another build; choose"):
        go_on(tmp_path / "other", None, 3)
    with pytest.raises(TrainError, match="holds a run from other weights; choose"):
        go_on(build, outs[0] / "best.pt", 3)
    with pytest.raises(TrainError, match=r"none\.pt: cannot be read"):
        go_on(build, tmp_path / "none.pt", 3)


@pytest.mark.parametrize("thresholds", ["fixed", "val", "per-class"])
@pytest.mark.parametrize("windows", ["max", "mean"])
def test_evaluates_every_clip(
    trained: tuple[Path, list[Path]], tmp_path: Path, thresholds: str, windows: str
) -> None:
    build, outs = trained
    found = evaluation.evaluate(
        opened(outs),
        build,
        windows=windows,
        thresholds=thresholds,
        flips=True,
        device="cpu",
        out=tmp_path,
    )
    assert found.clips.ids == tuple(f"{n:05d}" for n in range(6))
    pack = open_pack(build)
    np.testing.assert_array_equal(found.clips.labels, pack.labels[pack.of_split("test")])
    assert found.name == "run0 + run1"
    tree = json.loads((tmp_path / "results.json").read_text())
    assert tree["macro_present"]["f1"] == pytest.approx(found.scores.macro("present").f1)
    assert "run0 + run1" in (tmp_path / "table2.md").read_text()
    assert len((tmp_path / "confusion.csv").read_text().splitlines()) == len(CLASSES) + 1
    if thresholds != "fixed":
        val = Ensemble(opened(outs), (), windows, True, "cpu").scores(pack, "val")
        best = metrics.choose_threshold(val.labels, val.scores)
        chosen = metrics.choose_thresholds(val.labels, val.scores)
        expected = np.full(4, best) if thresholds == "val" else chosen
        np.testing.assert_array_equal(found.thresholds, expected)


def test_the_scores_of_every_clip_are_kept(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    build, outs = trained
    arguments = ["evaluate", "--run", str(outs[0]), "--build", str(build), "--device", "cpu"]
    assert CliRunner().invoke(main, [*arguments, "--out", str(tmp_path)]).exit_code == 0
    table = pq.read_table(tmp_path / "scores-test.parquet")
    found = evaluation.evaluate(opened(outs[:1]), build, device="cpu")
    pack = open_pack(build)
    assert table["clip_id"].to_pylist() == pack.clip_id[pack.of_split("test")].tolist()
    assert table["truth"].to_pylist() == pack.labels[pack.of_split("test")].tolist()
    assert table["scores"].to_pylist() == found.clips.scores.tolist()
    told = {k.decode(): json.loads(v) for k, v in table.schema.metadata.items()}
    assert told["classes"] == list(pack.classes)
    assert told["build"] == pack.fingerprint
    said = np.array(table["scores"].to_pylist()) >= told["thresholds"]
    assert said.sum(axis=0).tolist() == found.scores.predicted.tolist()


def test_an_ensemble_is_the_mean(trained: tuple[Path, list[Path]]) -> None:
    build, outs = trained
    parts = [evaluation.evaluate(opened([out]), build, device="cpu").clips.scores for out in outs]
    both = evaluation.evaluate(opened(outs), build, device="cpu").clips.scores
    np.testing.assert_allclose(both, (parts[0] + parts[1]) / 2, atol=1e-12)


def test_prediction_scores_as_evaluation(trained: tuple[Path, list[Path]], tmp_path: Path) -> None:
    build, outs = trained
    file = submission.predict(opened(outs), build, tmp_path, device="cpu")
    assert file == tmp_path / "answer.txt"
    assert len(file.read_text().splitlines()) == 6
    report = submission.score(file, build / "truth" / "test.json")
    found = evaluation.evaluate(opened(outs), build, device="cpu")
    np.testing.assert_array_equal(report.scores.f1, found.scores.f1)


def test_withheld_labels_are_read_from_truth(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    build, outs = trained
    hidden = [
        Shape(s.frames, s.height, s.width, split=s.split, labels=None) for s in shapes("test", 6)
    ]
    make_pack(tmp_path / "pack", shapes("train", 8) + hidden)
    with pytest.raises(DataError, match=r"truth/test\.json: no such file"):
        evaluation.evaluate(opened(outs), tmp_path, device="cpu")
    (tmp_path / "truth").mkdir()
    truth = (build / "truth" / "test.json").read_text()
    (tmp_path / "truth" / "test.json").write_text(truth)
    found = evaluation.evaluate(opened(outs), tmp_path, device="cpu")
    assert found.clips.labels.any()
    with pytest.raises(TrainError, match="no val clips"):
        evaluation.evaluate(opened(outs), tmp_path, thresholds="val", device="cpu")


def test_folders_that_are_no_runs_are_refused(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    build, outs = trained
    with pytest.raises(TrainError, match="not a run"):
        evaluation.evaluate(opened([tmp_path]), build, device="cpu")
    with pytest.raises(TrainError, match="no run"):
        evaluation.evaluate([], build, device="cpu")
    make_pack(tmp_path / "pack", shapes("test", 2), seed=3)
    header = json.loads((tmp_path / "pack" / "pack.json").read_text())
    header["classes"][0] = "else"
    (tmp_path / "pack" / "pack.json").write_text(json.dumps(header))
    with pytest.raises(TrainError, match="other classes"):
        evaluation.evaluate(opened(outs), tmp_path, device="cpu")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), reduce=st.sampled_from(["max", "mean"]))
def test_windows_become_clips(seed: int, reduce: str) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    ids = [f"{i:05d}" for i in rng.integers(99_990, 100_010, n)]
    scores, labels = rng.random((n, 3)), rng.random((n, 3)) < 0.5
    labels = np.array([labels[ids.index(i)] for i in ids])
    found = reduce_windows(ids, scores, labels, reduce)
    assert [int(i) for i in found.ids] == sorted({int(i) for i in ids})
    for k, name in enumerate(found.ids):
        own = [scores[w] for w in range(n) if ids[w] == name]
        expected = np.max(own, axis=0) if reduce == "max" else np.mean(own, axis=0)
        np.testing.assert_allclose(found.scores[k], expected)
        np.testing.assert_array_equal(found.labels[k], labels[ids.index(name)])


class Leftness(torch.nn.Module):
    """Says left as far as the left half is bright, right as far as the right half is."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        half = clips.shape[-1] // 2
        halves = (clips[..., :half], clips[..., half:], clips)
        return torch.stack([part.mean(dim=(1, 2, 3, 4)) for part in halves], dim=1)


def test_flips_swap_left_and_right() -> None:
    torch.manual_seed(0)
    batches = [(torch.randn(4, 3, 2, 6, 6), torch.zeros(4, 3), [f"{i:05d}" for i in range(4)])]
    names = ("turning_left", "turning_right", "still")
    device = torch.device("cpu")
    plain = score_clips(Leftness(), batches, names, device=device)
    flipped = score_clips(Leftness(), batches, names, device=device, flips=True)
    np.testing.assert_allclose(flipped.scores, plain.scores, atol=1e-6)
    unnamed = score_clips(Leftness(), batches, ("a", "b", "c"), device=device, flips=True)
    assert not np.allclose(unnamed.scores, plain.scores, atol=1e-3)


def test_table_escapes_names_for_latex(trained: tuple[Path, list[Path]]) -> None:
    build, outs = trained
    found = evaluation.evaluate(opened(outs[:1]), build, device="cpu", name="a_b & 50%")
    row = table2.row(found.to_dict())
    assert r"a\_b \& 50\%" in table2.latex([row])
    paper = "WideResNet-3D (paper) | TinyVIRAT-v2, test | 0.29 | 0.29 | 0.33"
    assert paper in table2.markdown([row])
    assert r"| a\|b c | x\|y | 0." in table2.markdown([("a|b\nc", "x|y", row[2])])


def test_results_tell_where_they_are_from(trained: tuple[Path, list[Path]], tmp_path: Path) -> None:
    build, outs = trained
    evaluation.evaluate(
        opened(outs), build, device="cpu", split="val", thresholds="val", out=tmp_path
    )
    tree = json.loads((tmp_path / "results.json").read_text())
    assert "optimistic" in tree["note"]
    assert tree["origin"]["build"] == str(build.resolve())
    assert tree["origin"]["sha256"] == open_pack(build).fingerprint
    assert tree["origin"]["runs"][1] == {
        "folder": str(outs[1].resolve()),
        "model": "resnet3d10-narrow",
        "checkpoint": "best.pt",
        "sha256": hash_file(outs[1] / "best.pt"),
        "epoch": 1,
    }
    assert evaluation.evaluate(opened(outs[:1]), build, device="cpu", split="val").note is None


def test_several_results_make_one_table(trained: tuple[Path, list[Path]], tmp_path: Path) -> None:
    build, outs = trained
    files = []
    for out, split in ((outs[0], "test"), (outs[1], "test"), (outs[1], "val")):
        folder = tmp_path / f"{out.name}-{split}"
        evaluation.evaluate(opened([out]), build, device="cpu", split=split, out=folder)
        files.append(str(folder / "results.json"))
    arguments = ["--out", str(tmp_path / "table")]
    told = CliRunner().invoke(main, ["table2", *files[:2], *arguments])
    assert told.exit_code == 0, told.output
    markdown = (tmp_path / "table" / "table2.md").read_text()
    *table, blank, note = markdown.splitlines()
    data = f"pack {build.name}, test"  # no build.yaml here
    assert [line.split(" | ")[:2] for line in table[-2:]] == [["| run0", data], ["| run1", data]]
    assert (blank, note) == ("", table2.NOTE)
    assert markdown in told.output
    assert len((tmp_path / "table" / "table2.tex").read_text().splitlines()) == 18
    told = CliRunner().invoke(main, ["table2", *files, *arguments])
    assert told.exit_code == 2
    assert "another split" in told.output
    told = CliRunner().invoke(main, ["table2", str(build / "truth" / "test.json"), *arguments])
    assert told.exit_code == 2
    assert "not the results.json" in told.output


def test_a_broken_run_says_what_is_broken(trained: tuple[Path, list[Path]], tmp_path: Path) -> None:
    build, outs = trained
    run = shutil.copytree(outs[0], tmp_path / "run")
    whole = (run / "best.pt").read_bytes()
    for broken in (whole[:1000], whole[:-100], b""):
        (run / "best.pt").write_bytes(broken)
        with pytest.raises(TrainError, match=r"best\.pt: .*delete it to take last\.pt"):
            evaluation.evaluate(opened([run]), build, device="cpu")
    (run / "best.pt").unlink()
    assert evaluation.evaluate(opened([run]), build, device="cpu").origin["runs"][0]["epoch"] == 1
    (run / "settings.yaml").unlink()
    with pytest.raises(TrainError, match="not a run"):
        evaluation.evaluate(opened([run]), build, device="cpu")


def test_answers_go_where_they_are_asked_to(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    build, outs = trained
    (tmp_path / "v1.2").mkdir()
    for out, file in (
        ("answers.csv", "answers.csv"),
        ("new", "new/answer.txt"),
        ("v1.2", "v1.2/answer.txt"),
    ):
        assert (
            submission.predict(opened(outs[:1]), build, tmp_path / out, device="cpu")
            == tmp_path / file
        )
        assert (tmp_path / file).is_file()


def test_only_first_processes_print(
    trained: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outs = trained
    arguments = ["train", "--build", str(tmp_path), "--out", str(outs[0])]
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        told = CliRunner().invoke(main, arguments)
        assert told.exit_code == 2
        assert ("no training pack" in told.output) == (rank == "0")


def test_figures_are_drawn_and_repeat(trained: tuple[Path, list[Path]], tmp_path: Path) -> None:
    build, outs = trained
    results = []
    for out in outs:
        evaluation.evaluate(opened([out]), build, device="cpu", out=tmp_path / out.name)
        results.append(tmp_path / out.name / "results.json")
    first = figures.draw(results, build, tmp_path / "first")
    second = figures.draw(results, build, tmp_path / "second")
    assert [f.name for f in first] == [
        f"figure{n}{end}" for n in (4, 5, 6) for end in (".svg", "-dark.svg", ".png")
    ]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    shown = figures.read_results(results, build)
    assert shown.models == ("run0", "run1")
    assert shown.classes == ("walk", "run", "turn")  # none waits in test
    assert shown.sides.tolist() == [14, 14, 14]
    assert shown.samples.tolist() == open_pack(build).labels[:8, :3].sum(axis=0).tolist()
    with pytest.raises(DataError, match="not the results"):
        figures.draw([build / "truth" / "test.json"], build, tmp_path)
    with pytest.raises(DataError, match=r"none\.json: cannot be read .* `evaluate` writes"):
        figures.draw([tmp_path / "none.json"], build, tmp_path)
    make_pack(tmp_path / "pack", shapes("train", 8), seed=9)
    with pytest.raises(TrainError, match="not the build that was scored"):
        figures.draw(results, tmp_path, tmp_path)
    with pytest.raises(TrainError, match="0 results"):
        figures.draw([], build, tmp_path)


def test_confusions_and_curves_show_the_numbers(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    build, outs = trained
    found = evaluation.evaluate(opened(outs[:1]), build, device="cpu", out=tmp_path)
    results = str(tmp_path / "results.json")
    arguments = ["figures", results, "--build", str(build), "--run", str(outs[0])]
    told = [
        CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / name)]).output
        for name in ("first", "second")
    ]
    assert "confusion.svg" in told[0]
    for name in ("confusion.svg", "confusion-dark.svg", "curves.png", "curves-dark.svg"):
        first, second = (tmp_path / again / name for again in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    names, shares = pictures.shares(found.to_dict())
    truth, said = found.clips.labels, found.clips.scores >= found.thresholds
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            a, b = CLASSES.index(one), CLASSES.index(other)
            wrongly = truth[:, a] & said[:, b] & ((a == b) | ~truth[:, b])
            assert shares[i, j] == pytest.approx(wrongly.sum() / truth[:, a].sum())
    log = runs.read_log(outs[0])
    (loss, *_) = pictures._curves({"run": log}).axes
    (line,) = loss.lines
    assert np.asarray(line.get_ydata()).tolist() == [float(row["loss"]) for row in log]
    with pytest.raises(TrainError, match="no epoch"):
        pictures.draw_curves({"empty": []}, tmp_path)


def test_an_f1_of_nothing_is_written_as_a_number() -> None:
    f1 = np.array([[0.5, 0.0], [0.0, 0.25]])
    shown = figures.PerClass(("walk", "run"), ("a", "b"), f1, np.ones(2), np.ones(2, int))
    (axes,) = figures._bars(shown).axes
    assert [text.get_text() for text in axes.texts] == ["0", "0"]


def test_every_class_of_a_crowd_is_named() -> None:
    rng = np.random.default_rng(3)
    f1 = rng.beta(1, 2, (2, 26))
    sides = rng.normal(50, 9, 26)
    names = tuple(f"activity_number_{c}" for c in range(26))
    shown = figures.PerClass(names, ("a", "b"), f1, sides, np.arange(26))
    (axes,) = figures._scatter(shown, sides, "side").axes
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 26
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_names_of_points_stay_inside_and_cover_no_line() -> None:
    rng = np.random.default_rng(2)
    names = tuple(f"activity_number_{c}" for c in range(12))
    sides = np.array([32, 35.5, 35.6, 46, 47, 49.3, 49.4, 49.6, 50.7, 54.6, 54.7, 60])
    f1 = np.stack([rng.random(12), np.zeros(12)])
    shown = figures.PerClass(names, ("a", "b"), f1, sides, np.arange(12))
    figure = figures._scatter(shown, sides, "side")
    (axes,) = figure.axes
    frame = axes.get_window_extent()
    lines = [axes.transData.transform([(x, f1[0, c]), (x, 0)]) for c, x in enumerate(sides)]
    assert len(axes.texts) > 6
    for text in axes.texts:
        box = Text.get_window_extent(text)
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert not any(box.overlaps(Bbox([line.min(0), line.max(0)])) for line in lines)


def test_results_of_one_name_are_told_apart_by_their_folders() -> None:
    files = [Path(f"/x/{run}/evaluation-test/results.json") for run in ("a", "b", "c")]
    told = figures.told_apart(["run", "run", "i3d"], files)
    assert told == ("run (a/evaluation-test)", "run (b/evaluation-test)", "i3d")
    assert figures.told_apart(["m", "n"], files[:2]) == ("m", "n")


def test_results_of_the_demo_say_so_beside_the_papers(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    build, outs = trained
    copy = tmp_path / "copy"
    shutil.copytree(build, copy)
    about: dict[str, Any] = {"sources": ["demo"], "settings": {"preset": "default"}, "limit": None}
    tables = []
    for told in (about, about | {"sources": ["x/own.yaml", "demo"], "limit": 3}):
        (copy / "build.yaml").write_text(json.dumps(told))
        evaluation.evaluate(opened(outs[:1]), copy, device="cpu", out=tmp_path)
        tables.append((tmp_path / "table2.md").read_text() + (tmp_path / "table2.tex").read_text())
    assert tables[0].count("demo (default), test") == 2
    assert tables[1].count("own + demo (default, first 3 videos), test") == 2
    assert all(text.count(table2.NOTE) == 2 for text in tables)
    assert scored_on(copy / "pack", "val").startswith("own + demo")
    old = json.loads((tmp_path / "results.json").read_text())
    del old["origin"]["data"]
    assert "| run0 | not told |" in table2.markdown([table2.row(old)])
    (copy / "build.yaml").write_text("sources: 7")
    with pytest.raises(DataError, match=r"build\.yaml: cannot be read"):
        scored_on(copy, "test")
