from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="moto, the S3 server of tests, is not installed")

from buckets import SECRET, Gate

from tinyvirat_build.errors import DataError, SettingsError
from tinyvirat_build.remote.bucket import Bucket, Listed
from tinyvirat_build.remote.client import TRIES, Budget, BudgetError, Client, checked
from tinyvirat_build.remote.fetch import (
    Fetched,
    Job,
    Proofs,
    bring,
    check_here,
    fetch,
    find,
    target_of,
)
from tinyvirat_build.remote.transfer import part_of, transfer
from tinyvirat_build.sources.meva import HOME

CLIP = "2018-03-07.16-50-01.16-55-01.bus.G331"
KEY = f"drops-123-r13/2018-03-07/16/{CLIP}.r13.avi"
BODY = random.Random(0).randbytes(600_000)


@pytest.fixture(autouse=True)
def there(gate: Gate) -> None:
    gate.put(KEY, BODY)


class Waits(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def bucket_of(gate: Gate, budget: int | None = None, waits: Waits | None = None) -> Bucket:
    return Bucket(Client(Budget(budget), Waits() if waits is None else waits), gate.address)


def listed(bucket: Bucket) -> Listed:
    [one] = bucket.listed(KEY)
    return one


def parts(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.name.endswith(".part")]


def test_a_file_comes_whole_and_anonymously(gate: Gate, tmp_path: Path) -> None:
    bucket, came = bucket_of(gate), list[int]()
    one = listed(bucket)
    assert (one.size, bool(one.md5)) == (len(BODY), True)
    assert transfer(bucket, one, tmp_path / "a" / one.name, came.append) == "md5"
    assert (tmp_path / "a" / one.name).read_bytes() == BODY
    assert sum(came) == len(BODY)
    assert not parts(tmp_path)
    for _, headers in gate.asked:
        assert not {"authorization", "cookie"} & {name.lower() for name in headers}
        assert SECRET not in str(headers)


def test_a_cut_connection_is_taken_up_where_it_ended(gate: Gate, tmp_path: Path) -> None:
    gate.faults[KEY] = [("cut", 100_000), ("cut", 50_000)]
    waits = Waits()
    bucket = bucket_of(gate, waits=waits)
    transfer(bucket, listed(bucket), tmp_path / "v.avi", lambda n: None)
    assert (tmp_path / "v.avi").read_bytes() == BODY
    ranges = [headers["Range"] for headers in gate.asked_for(KEY)]
    assert ranges == [f"bytes={at}-599999" for at in (0, 100_000, 150_000)]
    assert all(headers["If-Match"] for headers in gate.asked_for(KEY))
    assert waits == [1, 1]  # it came on each time
    # Not a byte twice but the listing.
    assert bucket.client.budget.received == gate.sent
    assert gate.sent < len(BODY) + 2000


def test_a_busy_server_is_asked_again_ever_later(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate, waits=(waits := Waits()))
    one = listed(bucket)
    gate.faults[KEY] = [("status", s) for s in (500, 503, 429)]
    transfer(bucket, one, tmp_path / "v.avi", lambda n: None)
    assert waits == [1, 2, 4]
    gate.faults[KEY] = [("status", 500)] * 20
    with pytest.raises(DataError, match=f"500 .*, {TRIES} times"):
        transfer(bucket, one, tmp_path / "w.avi", lambda n: None)
    assert not (tmp_path / "w.avi").exists()


def test_what_is_refused_is_not_asked_for_again(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate, waits=(waits := Waits()))
    one = listed(bucket)
    gate.faults[KEY] = [("status", 403)]
    with pytest.raises(DataError, match="403"):
        transfer(bucket, one, tmp_path / "v.avi", lambda n: None)
    assert (len(gate.asked_for(KEY)), waits) == (1, [])


def test_a_file_of_another_length_is_not_taken(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate)
    job = Job(CLIP, listed(bucket), tmp_path / "v.avi")
    gate.faults[KEY] = [("headers", {"Content-Range": "bytes 0-599999/600001"})] * 9
    [(_, outcome)] = bring(bucket, [job], 1, lambda n: None)
    assert "changes while it is fetched" in str(outcome)
    assert not job.target.exists()


def test_an_answer_that_is_shorter_than_it_says_is_a_cut_one(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate)
    one = listed(bucket)
    gate.faults[KEY] = [("headers", {"Content-Length": "700000"}), ("cut", 0)]
    transfer(bucket, one, tmp_path / "v.avi", lambda n: None)
    assert (tmp_path / "v.avi").read_bytes() == BODY


def test_damage_on_the_way_is_found_by_the_checksum(gate: Gate, tmp_path: Path) -> None:
    bucket, came = bucket_of(gate), list[int]()
    one = listed(bucket)
    gate.faults[KEY] = [("damage", None)]
    transfer(bucket, one, tmp_path / "v.avi", came.append)
    assert (tmp_path / "v.avi").read_bytes() == BODY
    assert sum(came) == len(BODY)
    gate.faults[KEY] = [("damage", None)] * 2
    with pytest.raises(DataError, match="MD5"):
        transfer(bucket, one, tmp_path / "w.avi", came.append)
    assert [p.name for p in tmp_path.iterdir()] == ["v.avi"]


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(("length", "blind"), [(500_000, False), (600_000, False), (600_000, True)])
def test_a_file_that_changes_in_between_is_fetched_as_it_is_now(
    gate: Gate, tmp_path: Path, after: int, length: int, blind: bool
) -> None:
    gate.blind = blind
    new = BODY[::-1][:length]
    bucket, came = bucket_of(gate), list[int]()
    job = Job(CLIP, listed(bucket), tmp_path / "v.avi")
    change = ("call", lambda: gate.put(KEY, new))
    gate.faults[KEY] = [("cut", 200_000), change] if after else [change]
    assert list(bring(bucket, [job], 1, came.append)) == [(job, "md5")]
    assert job.target.read_bytes() == new
    assert sum(came) == len(new)
    assert len(gate.asked_for(KEY)) == 2 + after  # not once more, for an MD5 that is wrong
    assert not parts(tmp_path)


def test_a_killed_fetch_goes_on_in_the_next(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate)
    one, target = listed(bucket), tmp_path / "v.avi"

    def killed(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(bucket, one, target, lambda n: n and killed(n))
    [part] = parts(tmp_path)
    assert part == part_of(target, one)
    assert HOME.file_of(part.name) is None
    have = part.stat().st_size
    assert 0 < have < len(BODY)
    stale = part.with_name(f".v.avi.0123456789ab{part.suffix}")
    stale.write_bytes(b"of another version")
    transfer(bucket, one, target, lambda n: None)
    assert gate.asked_for(KEY)[-1]["Range"] == f"bytes={have}-599999"
    assert target.read_bytes() == BODY
    assert not parts(tmp_path)


def test_another_host_is_refused(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate)
    one = listed(bucket)
    port = gate.address.rpartition(":")[2].partition("/")[0]
    for where in (f"http://localhost:{port}/corpus/{KEY}", f"{gate.behind}/corpus/{KEY}"):
        gate.faults[KEY] = [("redirect", where)]
        with pytest.raises(DataError, match="leads to another host"):
            transfer(bucket, one, tmp_path / "v.avi", lambda n: None)
    gate.faults[KEY] = [("redirect", "http://[nowhere/")]
    with pytest.raises(DataError, match="is no address that can be fetched"):
        transfer(bucket, one, tmp_path / "v.avi", lambda n: None)
    gate.faults[KEY] = [("redirect", f"/corpus/{KEY}")]  # the same one
    transfer(bucket, one, tmp_path / "v.avi", lambda n: None)


@pytest.mark.parametrize(
    "url", [
        "https://name:word@host/x", "file:///etc/passwd", "ftp://h/x", "https://[h/x",
        "https://h:port/x", "https://name:word@[h/x",
    ],
)  # fmt: skip
def test_an_address_with_credentials_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        checked(url)
    assert "word" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize("key", ["../a.avi", "a/../../b.avi", "/etc/a.avi", "a//b.avi", "a\\b.avi"])
def test_a_key_that_leads_out_of_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(DataError, match="refused"):
        target_of(tmp_path, key)


@pytest.mark.parametrize("budget", [1_300_000, 1_900_000, 7_000_000])
@pytest.mark.parametrize("workers", [1, 4])
def test_the_budget_is_never_exceeded(
    gate: Gate, tmp_path: Path, budget: int, workers: int
) -> None:
    keys = [KEY.replace("G331", f"G33{n}") for n in range(5)]
    for key in keys:
        gate.put(key, BODY)
        gate.faults[key] = [("cut", 300_000), ("damage", None), ("cut", 10)]
    bucket = bucket_of(gate, budget)
    jobs = [Job(k, o, tmp_path / o.name) for k in keys for o in bucket.listed(k)]
    report = Fetched()
    memory = Proofs(tmp_path / "proofs.json")
    fetch(bucket, jobs, workers=workers, proofs=memory, report=report, advance=lambda n: None)
    assert report.bytes_received <= budget
    assert gate.sent <= budget
    done = len(report.fetched)
    assert done + len(report.beyond_budget) == len(jobs)
    assert done == (5 if budget == 7_000_000 else done)
    assert report.status == (done < 5)
    assert all((tmp_path / one.listed.name).exists() == (one.video_id in report.fetched)
               for one in jobs)  # fmt: skip


def test_too_small_a_budget_asks_for_nothing(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate)
    one = listed(bucket)
    small = Bucket(Client(Budget(len(BODY) - 1)), gate.address)
    with pytest.raises(BudgetError):
        transfer(small, one, tmp_path / "v.avi", lambda n: None)
    assert not gate.asked_for(KEY)


def test_a_listing_takes_of_the_budget_what_it_has(gate: Gate) -> None:
    listed(bucket := bucket_of(gate))
    page = bucket.client.budget.received
    assert page == gate.sent
    assert listed(bucket_of(gate, page)).key == KEY
    with pytest.raises(BudgetError):
        listed(bucket_of(gate, page - 1))


def test_the_better_copy_is_found_wherever_the_bucket_has_it(gate: Gate) -> None:
    def clip(n: int) -> str:
        return CLIP.replace("G331", f"G33{n}")

    here = "drops-123-r13/2018-03-07/16"
    gate.put(f"{here}/{clip(1)}.r0.avi", b"not this")
    gate.put(f"{here}/{clip(2)}.r0.avi", b"only this")
    gate.put(f"{here}/{clip(2)}.r13.avi.md5", b"no video")
    gate.put(f"drops-123-r13/2018-03-07/17/{clip(3)}.r13.avi", b"of the next hour")
    gate.put(f"drops-4/2018-03-07/16/{clip(4)}.r13.avi", b"of another folder")
    found = find(bucket_of(gate), HOME, map(clip, range(1, 6)))
    assert {name: one.key for name, one in found.items()} == {
        CLIP: KEY,
        clip(2): f"{here}/{clip(2)}.r0.avi",
        clip(3): f"drops-123-r13/2018-03-07/17/{clip(3)}.r13.avi",
        clip(4): f"drops-4/2018-03-07/16/{clip(4)}.r13.avi",
    }


def test_a_listing_of_several_pages_is_read_to_its_end(gate: Gate) -> None:
    for n in range(3):
        gate.put(f"many/{n}", b"x" * n)
    first = "?list-type=2&prefix=many%2F"
    second = f"{first}&max-keys=2"
    gate.faults[first] = [("status", 503), ("instead", f"{second}")]
    bucket = bucket_of(gate)
    found = bucket.listed("many/")
    assert [(one.key, one.size) for one in found] == [(f"many/{n}", n) for n in range(3)]
    assert "continuation-token" in gate.asked[-1][0]


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>much</Size></Contents></ListBucketResult>",
    ],
)
def test_a_page_that_is_no_listing_is_said_to_be_none(gate: Gate, page: bytes) -> None:
    gate.put("page", page)
    bucket = Bucket(Client(wait=Waits()), f"{gate.address}/page?x=")
    with pytest.raises(DataError, match="is no bucket"):
        bucket.listed("a")


def test_what_is_here_is_held_against_the_bucket_once(gate: Gate, tmp_path: Path) -> None:
    bucket = bucket_of(gate)
    one, proofs = listed(bucket), Proofs(tmp_path / "proofs.json")
    path = tmp_path / one.name
    path.write_bytes(BODY[:-1])
    assert "move it away" in check_here(path, one, proofs)
    path.write_bytes(BODY)
    assert not check_here(path, one, proofs)
    proofs.save()
    again = Proofs(proofs.path)
    assert again.hold(path)
    path.write_bytes(b"x" + BODY[1:])
    assert "MD5" in check_here(path, one, again)
