from __future__ import annotations

import csv
import functools
import json
import re
from pathlib import Path

import pytest

from tinyvirat_build.errors import SettingsError
from tinyvirat_build.labels import (
    DEFAULTS,
    label_files,
    load_classes,
    load_map,
    make_map,
    map_of,
)
from tinyvirat_build.settings import Settings, annotations_dir, presets
from tinyvirat_build.sources.meva import current_name

CLASSES = load_classes("tinyvirat-26")
SPELLINGS = {"Vehicle_UTurn", "vehicle_u_turn", "vehicle_makes_u_turn"}


def test_the_26_classes_stand_in_the_released_order() -> None:
    assert len(CLASSES) == 26
    assert (CLASSES[0], CLASSES[9], CLASSES[20], CLASSES[25]) == (
        "Opening",
        "activity_running",
        "Transport_HeavyCarry",
        "Misc",
    )


def test_every_shipped_file_loads() -> None:
    lists = {"tinyvirat-26", "meva-37"}
    tables = {"meva-current-to-2019"}  # a table of names, not of labels
    for name in set(label_files()) - lists - tables:
        classes = load_classes("meva-37" if name == "meva-to-meva-37" else "tinyvirat-26")
        assert load_map(name, classes).labels


def test_every_preset_reads_meva_in_three_spellings() -> None:
    for preset in presets():
        label_map = map_of("meva", Settings.load(preset))
        assert all(label_map.labels_of(name) is not None for name in SPELLINGS), preset


@functools.cache
def names_in(folder: Path) -> set[str]:
    """The annotated names of every file below, by a slow scan that shares nothing with us."""
    found: set[str] = set()
    for path in folder.rglob("*activities.yml"):
        text = path.read_text()
        found |= set(re.findall(r"act[23]'?:\s*(?:!!set\s*)?\{\s*'?([^:'}]+?)'?\s*:", text))
    for path in folder.rglob("*.json"):
        tree = json.loads(path.read_text())
        if "activities" in tree:
            found |= {a["activity"] for a in tree["activities"]}
        else:
            found |= {a["event_type"] for a in tree.values() if "event_type" in a}
    return found


@pytest.mark.parametrize("name", ["meva-to-tinyvirat", "meva-to-tinyvirat-v2", "meva-to-meva-37"])
def test_every_name_in_the_real_files_is_mapped_or_expressly_unmapped(
    shared: Path, name: str
) -> None:
    found = names_in(shared / "data" / "meva" / "annotation")
    assert len(found) > 90
    classes = load_classes("meva-37" if name == "meva-to-meva-37" else "tinyvirat-26")
    label_map = load_map(name, classes)
    assert sorted(n for n in found if label_map.labels_of(n) is None) == []
    unmapped = [n for n in found if label_map.labels_of(n) == ()]
    assert all(label_map.notes[n].startswith("unmapped") for n in unmapped)


def test_the_spellings_of_one_activity_agree(shared: Path) -> None:
    documents = shared / "data" / "meva" / "documents"
    with (documents / "activity-name-mapping.csv").open() as file:
        pairs = [(r["old_name"], r["new_name"]) for r in csv.DictReader(file)]
    with (annotations_dir() / "labels" / "meva-current-to-2019.csv").open() as file:
        pairs += [(r["camel"], r["current"]) for r in csv.DictReader(file)]
    for name in ("meva-to-tinyvirat", "meva-to-tinyvirat-v2"):
        label_map = load_map(name, CLASSES)
        for old, new in pairs:
            assert label_map.labels_of(old) == label_map.labels_of(new), (name, old)
    assert {current_name(old) for old, _ in pairs} == {new for _, new in pairs}
    assert set(load_classes("meva-37")) == set(
        (documents / "activity-names.txt").read_text().split()
    )


def test_the_v2_map_is_the_proved_table() -> None:
    v2 = load_map("meva-to-tinyvirat-v2", CLASSES)
    assert v2.labels_of("Heavy_Carry") == ("activity_carrying", "Transport_HeavyCarry")
    assert v2.labels_of("People_Talking") == ("Talking",)
    assert v2.labels_of("Open_Vehicle_Door") == ("Opening",)
    unmapped = {
        *("Enter_Through_Structure", "Exit_Through_Structure", "Open_Facility_Door"),
        *("Pick_Up_Object", "Set_Down_Object", "Sit_Down", "Stand_Up", "Object_Transfer"),
        *("Read_Document", "Unload_Vehicle", "Vehicle_Reversing", "Vehicle_UTurn"),
    }
    assert {v2.labels_of(name) for name in unmapped} == {()}
    default = load_map("meva-to-tinyvirat", CLASSES)
    added = {n for n in default.labels if default.labels_of(n) != v2.labels_of(n)}
    assert {current_name(n) for n in added} == {
        "person_opens_facility_door",
        "person_closes_facility_door",
        "person_enters_scene_through_structure",
        "person_exits_scene_through_structure",
    }


def test_virat_maps_hold_every_class_and_every_event() -> None:
    virat = load_map("virat-to-tinyvirat", CLASSES)
    assert all(virat.labels_of(c) == (c,) for c in CLASSES)
    for name in ("Unloading", "Open_Trunk", "vehicle_u_turn", "specialized_throwing"):
        assert virat.labels_of(name) == ()
    text = load_map("virat-text-to-tinyvirat", CLASSES)
    assert sorted(text.labels, key=int) == [str(n) for n in range(1, 13)]


def test_identity_and_class_list_as_map() -> None:
    assert load_map("identity", ("a", "b")).labels_of("b") == ("b",)
    assert load_map("tinyvirat-26", CLASSES).labels_of("Misc") == ("Misc",)
    assert map_of("a corpus without a map", Settings.load()).labels_of("Misc") == ("Misc",)


def test_nearest_known_name_is_suggested() -> None:
    assert load_map(DEFAULTS["meva"], CLASSES).nearest("person_talk_to_person") == (
        "person_talks_to_person"
    )
    assert load_map(DEFAULTS["meva"], CLASSES).nearest("§§§") is None


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("name,labels,note\nwalk,Walking,\n", ":2", "'Walking' is not in the class list"),
        ("name,labels,note\na,Misc,\na,,\n", ":3", "first on line 2"),
        ("nome,labels\na,Misc\n", ":1", "begins with the header"),
        ("", ":1", "begins with the header"),
        ("name,labels,note\na,Misc,x,y\n", ":2", "found 4 columns"),
        ('name,labels,note\n"a,Misc,\n', "", "give a UTF-8 CSV file"),
        ("name,labels,note\n,Misc,\n", ":2", "an empty name"),
    ],
)
def test_a_wrong_map_is_refused_with_file_and_line(
    tmp_path: Path, text: str, where: str, what: str
) -> None:
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_map(str(path), CLASSES)
    assert f"{path}{where}" in str(caught.value)
    assert what in str(caught.value)


def test_a_wrong_class_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_text("name\nwalk\nrun\nwalk\n")
    with pytest.raises(SettingsError, match=r"classes\.csv:4: 'walk' occurs twice"):
        load_classes(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_classes(str(path))
    with pytest.raises(SettingsError, match="did you mean tinyvirat-26"):
        load_classes("tinyvirat26")
    with pytest.raises(SettingsError, match="cannot read"):
        load_classes(str(tmp_path / "none.csv"))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("\ufeffname,labels,note\nwalk,activity_walking;Misc;activity_walking,\n")
    settings = Settings.load(overrides=[f"labels.meva={path}"])
    assert map_of("meva", settings).labels_of("walk") == ("activity_walking", "Misc")
    path.write_text("name,labels,note\nwalk,,none at all\n")
    assert map_of("meva", settings).labels_of("walk") == ()


def test_pairs_are_checked_as_files_are() -> None:
    with pytest.raises(SettingsError, match="did you mean Misc"):
        make_map("mine", [("a", ["Misk"])], CLASSES)
    with pytest.raises(SettingsError, match="'a' occurs twice"):
        make_map("mine", [("a", []), ("a", [])], CLASSES)
