"""Figures in words, and the verdict."""

import math

import pytest

from openmm_unisim.evaluation.metric import Metric
from openmm_unisim.evaluation.page.metric_notes import meaning
from openmm_unisim.evaluation.page.metric_text import (
    excess,
    filled_columns,
    metric_row,
    significant,
    summarise_section,
    verdict,
    with_error,
)


def row(**fields):
    return metric_row(Metric(**({"key": "pwd", "label": "PWD", "value": 0.3} | fields)).as_dict())


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.12345, 0.0123, "0.123 ± 0.012"),
        (1234.5, 12.3, "1,234 ± 12"),
        (0.5, None, "0.5"),
        (2.0, 0.0, "2 ± 0"),
        (12.0, 345.0, "12 ± 345"),
        (3e-7, 1e-7, "3.000e-07 ± 1.0e-07"),
        (-0.164, 0.055, "-0.164 ± 0.055"),
    ],
)
def test_a_value_carries_its_error_to_the_second_digit(value, error, text):
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 3, "0"),
        (1234567.8, 4, "1,234,568"),
        (0.012345, 3, "0.0123"),
        (5e-9, 2, "5.0e-09"),
        (2.5, 4, "2.5"),
    ],
)
def test_significant_digits(value, digits, text):
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("better", "value", "floor", "spread", "widths", "expected"),
    [
        ("lower", 0.14, 0.10, 0.02, 2.0, "within"),
        ("lower", 0.15, 0.10, 0.02, 2.5, "beyond"),
        ("lower", 0.05, 0.10, 0.02, -2.5, "within"),
        ("higher", 0.90, 0.99, 0.03, 3.0, "beyond"),
        ("higher", 1.00, 0.99, 0.03, -1 / 3, "within"),
        (None, 0.90, 1.00, 0.04, 2.5, "beyond"),
        (None, 1.08, 1.00, 0.04, 2.0, "within"),
        ("lower", 0.2, 0.1, 0.0, math.inf, "beyond"),
        ("lower", 0.1, 0.1, 0.0, 0.0, "within"),
    ],
)
def test_verdicts(better, value, floor, spread, widths, expected):
    metric = Metric("k", "l", value, better=better, floor=floor, floor_std=spread).as_dict()
    assert excess(metric) == pytest.approx(widths)
    assert verdict(metric) == expected


def test_no_floor_no_verdict():
    assert row().verdict == "none"
    assert verdict(Metric.missing("k", "l", "why").as_dict()) == "none"


@pytest.mark.parametrize(
    ("details", "widths", "expected"),
    [
        ({"z": -2.5}, 2.5, "beyond"),
        ({"z": 1.9}, 1.9, "within"),
        ({"z": 8.0, "uncertain": True}, None, "none"),
        ({"z": 2.3, "p_value": 0.046}, 1.995, "within"),  # few windows: Student's t is wider
        ({"z": None}, None, "none"),
    ],
)
def test_without_a_floor_the_difference_from_the_reference_counts(details, widths, expected):
    metric = Metric("stay", "P(stay)", 0.7, standard_error=0.01, reference=0.68, details=details).as_dict()
    assert excess(metric) == (None if widths is None else pytest.approx(widths, abs=1e-3))
    assert verdict(metric) == expected
    assert metric_row(metric).z == ("" if details["z"] is None else f"{details['z']:+.1f}")


def test_a_figure_said_twice_counts_once():
    first = Metric("js_phi[ALA 2]", "JS", 0.2, better="lower", floor=0.1, floor_std=0.01)
    again = Metric(
        "js_phi_mean", "JS", 0.2, better="lower", floor=0.1, floor_std=0.01, details={"repeats": first.key}
    )
    assert summarise_section({"title": "T", "metrics": [first.as_dict(), again.as_dict()]}).graded == 1


def test_the_models_own_error_counts_where_agreement_is_asked_for():
    wide = Metric("ess", "ESS", 833.0, standard_error=137.0, floor=700.0, floor_std=45.0).as_dict()
    assert verdict(wide) == "within"
    assert verdict(wide | {"better": "lower"}) == "beyond"


def test_a_missing_figure_names_its_reason_and_is_never_a_number():
    found = metric_row(Metric.missing("pwd", "PWD", "too few residues").as_dict())
    assert found.value == "n/a (too few residues)"
    assert (found.floor, found.reference, found.outside) == ("", "", "")


def test_an_interval_stands_where_there_is_no_error():
    details = {"interval_95": [0.0, 0.0018], "reference_interval_95": [0.0, 0.00012]}
    found = row(value=0.0, reference=0.0, details=details)
    assert found.value == "0 (0 to 0.0018)" and found.reference == "0 (0 to 0.00012)"


def test_units_share_outside_and_uncertain_basins_are_shown():
    found = row(unit="kT", standard_error=0.02, outside=0.0123, details={"uncertain": True})
    assert found.value == "0.300 ± 0.020 kT" and found.outside == "1.2 %" and found.label == "PWD (uncertain)"


def test_only_columns_that_hold_anything():
    assert filled_columns([row(), row(floor=0.1, floor_std=0.01)]) == {"floor": "MD floor"}


def test_summary_of_a_section_names_the_worst():
    graded = [
        Metric(key, key, value, better="lower", floor=0.1, floor_std=0.01).as_dict()
        for key, value in (("pwd", 0.1), ("rg", 0.2), ("tic", 0.15))
    ]
    missing = Metric.missing("contact", "CONTACT", "why").as_dict()
    summary = summarise_section({"title": "T", "metrics": [*graded, missing]})
    assert (summary.within, summary.graded, summary.verdict) == (1, 3, "beyond")
    assert summary.worst is not None and summary.worst.key == "rg"
    assert summarise_section({"title": "T", "metrics": [missing]}).verdict == "none"


def test_meanings_follow_the_stem_of_a_key():
    assert meaning("js_phi[ALA 2]") == meaning("js_phi[GLY 7]") != ""
    assert meaning("implied_timescale_1[ALA 2]") == meaning("implied_timescale_2") != ""
    assert meaning("tic_2d") != meaning("tic")
    assert meaning("never heard of") == ""
