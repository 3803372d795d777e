"""Issues are bounded in number, and none is uncounted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvirat_build.formats.faults import APART, Issues, one_of_each
from tinyvirat_build.records import Issue

runs = st.lists(
    st.tuples(
        st.sampled_from(("malformed", "actor_missing", "status")),
        st.sampled_from(("dropped", "noted")),
        st.integers(1, 3),  # count
        st.integers(1, 300),  # records
        st.booleans(),  # whether each record has a detail of its own
    ),
    max_size=8,
)


def counted(issues: Iterable[Issue]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for i in issues:
        counts[i.reason, i.action] += i.count
    return counts


@settings(max_examples=60, deadline=None)
@given(runs)
def test_every_issue_is_counted(runs: list[tuple[str, str, int, int, bool]]) -> None:
    given = [
        Issue("parse", reason, action, f"record {run} {i}", count=count, detail=f"{i * own}")
        for run, (reason, action, count, records, own) in enumerate(runs)
        for i in range(records)
    ]
    found = list(Issues(given))
    assert counted(found) == counted(given) == counted(Issues(found))
    apart = [i for i in given if i.action == "dropped" and i.reason != "malformed"]
    assert [i for i in found if i in apart] == apart
    merged = Counter((i.reason, i.action, i.detail) for i in found if i not in apart)
    assert max(merged.values(), default=0) <= 2 * APART
    assert len(merged) <= 8 * APART
    if max(Counter((i.reason, i.action) for i in given).values(), default=0) <= APART:
        assert found == given


def test_a_kind_may_be_counted_from_the_first() -> None:
    issues = Issues()
    for line in (3, 5, 8):
        issues.append(Issue("parse", "malformed", "noted", "geom", "x.yml", line), apart=1)
    assert list(issues) == [Issue("parse", "malformed", "noted", "geom", "x.yml", 3, 3)]


def test_the_first_file_of_a_kind_is_read() -> None:
    issues = Issues()
    files = [Path("a.json"), Path("b.txt"), Path("c.json")]
    assert one_of_each(files, lambda p: p.suffix, issues) == {".json": files[0], ".txt": files[1]}
    assert [(i.reason, i.file) for i in issues] == [("duplicate", "c.json")]
