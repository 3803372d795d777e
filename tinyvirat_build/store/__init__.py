"""How a build lies on disk: files written whole, tables, units."""

from tinyvirat_build.store.files import (
    PARTIAL,
    HashMemory,
    atomic_folder,
    atomic_path,
    digest,
    hash_file,
    link_or_copy,
    sync_folder,
    write_bytes,
    write_json,
    write_text,
)
from tinyvirat_build.store.lock import acquire, locked
from tinyvirat_build.store.sums import changed_tables, is_noted
from tinyvirat_build.store.tables import (
    concat,
    count_rows,
    from_arrow,
    of_video,
    parted,
    read_arrow,
    read_by_video,
    read_table,
    table_key,
    to_arrow,
    write_table,
)
from tinyvirat_build.store.texts import csv_text, many, printable
from tinyvirat_build.store.units import (
    find_table,
    has_part,
    has_transient,
    is_transient,
    read_unit,
    read_unit_bytes,
    transient_key,
    unit_digest,
    unit_key,
    write_unit,
)

__all__ = [
    "PARTIAL", "HashMemory", "acquire", "atomic_folder", "atomic_path", "changed_tables", "concat",
    "count_rows", "csv_text", "digest", "find_table", "from_arrow", "has_part", "has_transient",
    "hash_file", "is_noted", "is_transient", "link_or_copy", "locked", "many", "of_video",
    "parted", "printable", "read_arrow", "read_by_video", "read_table", "read_unit",
    "read_unit_bytes", "sync_folder", "table_key", "to_arrow", "transient_key", "unit_digest",
    "unit_key", "write_bytes", "write_json", "write_table", "write_text", "write_unit",
]  # fmt: skip
