"""What is said about settings that differ."""

from openmm_unisim.changes import changed_settings, describe_changes


def test_only_what_differs_is_named_within_dictionaries_too() -> None:
    before = {"seed": 1, "protocol": {"md": {"steps": 500, "constraints": "none"}, "jump": {"number": 1}}}
    now = {"seed": 1, "protocol": {"md": {"steps": 250, "constraints": "none"}, "jump": {"number": 2}}}
    changes = changed_settings(before, now)
    assert changes == {"protocol.md.steps": (500, 250), "protocol.jump.number": (1, 2)}
    assert describe_changes(changes) == "protocol.md.steps: 500 -> 250, protocol.jump.number: 1 -> 2"


def test_a_setting_that_one_side_lacks_differs() -> None:
    assert describe_changes(changed_settings({"a": 1, "c": None}, {"b": 2, "c": None})) == (
        "b: nothing -> 2, a: 1 -> nothing"
    )
    assert changed_settings({"part": {"x": 1}}, {"part": None}) == {"part": ({"x": 1}, None)}


def test_lists_from_files_equal_tuples() -> None:
    assert changed_settings({"a": [1, [2, 3]]}, {"a": (1, (2, 3))}) == {}
    assert list(changed_settings({"a": [1, 2]}, {"a": [1, 3]})) == ["a"]
