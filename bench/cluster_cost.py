"""What a corpus costs on a cluster, from the rates that were measured; nothing is run.

    python bench/cluster_cost.py [--hours 328] [--bytes 1.1e12] [--cores 64] [--shards 32] …

The defaults are the whole of MEVA's ground cameras: 328 hours in clips of five minutes, 1080p at
30 frames a second, over a terabyte. As an upper bound every frame is decoded once; what a plan
really needs is printed by `tinyvirat-build all --until plan`. Rates, of one core: decoding and
encoding as the estimate has them (video/spans.py), indexing and planning as docs/performance.md.
"""

from __future__ import annotations

import argparse

from tinyvirat_build.video import spans

INDEX = 0.54 / 60  # core seconds a second of video
PLAN = 2 * 6.8 / 266  # core seconds a video: two workers, 6.8 s for 266 videos
CLIPS = 5104 / 266  # a video, of MEVA's kitware set with the preset default
FRAMES = 55  # a clip
SIDE = 100  # pixels, of a clip's window: most are under 128


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=328)
    parser.add_argument("--minutes", type=float, default=5, help="a video")
    parser.add_argument("--bytes", type=float, default=1.1e12, help="of all videos")
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--shards", type=int, default=32)
    args = parser.parse_args()
    videos = round(args.hours * 60 / args.minutes)
    pixels = args.hours * 3600 * 30 * 1920 * 1080
    cut = videos * CLIPS * FRAMES * SIDE**2
    encoding, written = spans._ENCODED["h264"]
    core_hours = {
        "index": args.hours * INDEX,
        "plan": videos * PLAN / 3600,
        "cut": (
            pixels * spans._SECONDS_PER_PIXEL_IN + cut * (spans._SECONDS_PER_PIXEL_CUT + encoding)
        )
        / 3600,
    }
    planning, whole = core_hours["index"] + core_hours["plan"], sum(core_hours.values())
    print(f"{args.hours:g} h in {videos:,} videos, {args.bytes / 1e12:.1f} TB\n")
    for stage, hours in core_hours.items():
        print(f"{stage:6s}{hours:8.1f} core hours")
    print(f"clips {videos * CLIPS:8,.0f}, {cut * written / 1e9:.0f} GB\n")
    ways = {
        "one machine, or Ray": (whole, 2, 1),
        f"{args.shards} shards, planned once": (whole, 2, 1),
        f"{args.shards} shards, each plans": (
            whole + (args.shards - 1) * planning, args.shards + 1, args.shards,
        ),
    }  # fmt: skip
    print(f"{'':26s}core hours  hours on {args.cores} cores  TB read  files opened to read")
    for name, (hours, reads, plans) in ways.items():
        # To fetch is one request a file; a cut opens a file once more after its index.
        opened = videos * (plans + 1)
        print(
            f"{name:26s}{hours:10.1f}{hours / args.cores:19.1f}{reads * args.bytes / 1e12:9.1f}"
            f"{opened:22,}"
        )
    print(f"\nTo fetch: {args.bytes / 1e12:.1f} TB in {videos:,} GET requests")


if __name__ == "__main__":
    main()
