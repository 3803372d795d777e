"""The frames that planning loses, of those that some labelled activity covers."""

from __future__ import annotations

from typing import Final

import pandas as pd

PLANNING: Final = ("chunk", "crop")  # the stages that count frames of segments


def lost_frames(issues: pd.DataFrame, balance: pd.DataFrame) -> pd.DataFrame:
    """Why frames of segments are in no clip: reason, frames, share; the most frequent first.

    ``share`` is of all frames of segments; one that several of its chunks hold counts once. The
    last row, ``none``, is what the clips have.
    """
    of = balance[balance["stage"] == PLANNING[0]]
    total = int(of["records_in"].sum())
    planned = issues["stage"].isin(PLANNING) & issues["action"].isin(["dropped", "quarantined"])
    sums = issues[planned].groupby("reason", observed=True)["count"].sum()
    rows = [(str(reason), int(n)) for reason, n in sums.items() if n]
    rows.sort(key=lambda row: (-row[1], row[0]))
    rows.append(("none", total - sum(n for _, n in rows)))
    return pd.DataFrame(
        [(reason, n, n / total if total else 0.0) for reason, n in rows],
        columns=["reason", "frames", "share"],
    )
