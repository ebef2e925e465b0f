"""Protocol files: the shipped ones, what is refused and in which words."""

from pathlib import Path

import pytest

from openmm_unisim import ConfigError
from openmm_unisim.hybrid.protocol import load_protocol, protocol_text, shipped_protocols


def test_three_protocols_are_shipped_and_valid() -> None:
    assert shipped_protocols() == ["explore", "sample", "seed"]
    for name in shipped_protocols():
        protocol = load_protocol(name)
        assert protocol.kind == name
        assert protocol_text(name).startswith("# ")
    sample = load_protocol("sample")
    assert (sample.jump.after, sample.md.integrator, sample.md.constraints) == ("metropolis", "ghmc", "none")
    assert load_protocol("seed").seeds is not None and load_protocol("explore").relax is not None


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "kind: explore\nmd: {steps: 10, time_step_fs: 2}\njump: {after: accept}\n", encoding="utf-8"
    )
    protocol = load_protocol(path, cycles=7)
    assert (protocol.cycles, protocol.md.steps, protocol.jump.after) == (7, 10, "accept")
    assert protocol.shaping() == load_protocol(path, cycles=9).shaping()
    assert "cycles" not in protocol.shaping()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: explore\ncycle: 3", "cycle is unknown; did you mean cycles"),
        ("kind: explore\nmd: {step: 3}", r"md\.step is unknown; did you mean steps"),
        ("kind: explore\nmd: {hmm: 3}", r"md\.hmm is unknown; keys are integrator, steps"),
        ("cycles: 3", "kind: field required"),
        ("kind: explore\nmd: {steps: -3}", r"md\.steps: input should be greater than or equal to 0 \(got -3\)"),
        ("kind: explore\njump: {number: true}", r"jump\.number: input should be a valid integer"),
        ("kind: guess", r"kind: input should be 'explore', 'sample' or 'seed' \(got 'guess'\)"),
        ("kind: sample", r"jump\.after is 'relax', and kind 'sample' is exact with 'metropolis' only"),
        ("kind: sample\njump: {after: metropolis}", r"md\.integrator is 'langevin-middle', and kind 'sample'"),
        (
            "kind: sample\njump: {after: metropolis}\nmd: {integrator: ghmc}",
            r"md\.constraints is 'h-bonds', and kind 'sample' is exact with 'none' only",
        ),
        ("kind: explore\njump: {after: metropolis}", "in a protocol of kind 'explore'; its kind is 'sample'"),
        ("kind: explore\njump: {after: accept}\nrelax: {md_steps: 1}", "relax is given, but jump.after is 'accept'"),
        ("kind: explore\nseeds: {every: 1}", "seeds is given in a protocol of kind 'explore'"),
        ("kind: seed", "writes start points, but seeds is missing"),
        ("kind: explore\nmd: {steps: 0}\njump: {number: 0}", "both 0, so a cycle does nothing"),
        ("- a list", "holds no keys"),
        ("kind: [", "is no YAML"),
    ],
)  # fmt: skip
def test_a_wrong_protocol_is_one_sentence_that_names_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_protocol(path)
    assert "wrong.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_name_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no protocol 'explor': give one of explore, sample, seed"):
        load_protocol("explor")
