"""What an audit finds, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

LOADER_FRAMES: Final = 16  # the challenge's loader drops clips with fewer


@dataclass(frozen=True, slots=True)
class Audit:
    """The tables of an audit; what each holds is said by the function of its name."""

    completeness: pd.DataFrame
    missing_pairs: pd.DataFrame
    unmapped_names: pd.DataFrame
    lost_frames: pd.DataFrame
    shared: pd.DataFrame
    duplicates: pd.DataFrame | None  # None where no clip is cut
    short_or_held: pd.DataFrame
    shares: pd.DataFrame
    targets: tuple[float, ...]

    @property
    def complete(self) -> float:
        """The share of clips that carry the labels of every mapped activity seen in them."""
        return float(self.completeness["complete"].mean()) if len(self.completeness) else 1.0

    @property
    def pure(self) -> float:
        """The share of clips of which each label is seen on half of the frames or more."""
        return float(self.completeness["pure"].mean()) if len(self.completeness) else 1.0

    def to_dict(self) -> dict[str, Any]:
        """As plain values ready for JSON."""
        tables = {
            "incomplete": self.completeness[~self.completeness["complete"]],
            "missing_pairs": self.missing_pairs,
            "impure": self.completeness[~self.completeness["pure"]],
            "unmapped_names": self.unmapped_names,
            "lost_frames": self.lost_frames,
            "shared": self.shared,
            "duplicates": self.duplicates,
            "short_or_held": self.short_or_held,
            "shares": self.shares,
        }
        return {
            "clips": len(self.completeness),
            "complete": self.complete,
            "pure": self.pure,
            "clips_with_unmapped": int(self.completeness["unmapped"].map(bool).sum()),
            "targets": list(self.targets),
            **{
                name: None if table is None else table.astype(object).to_dict("records")
                for name, table in tables.items()
            },
        }
