"""Thinned comparisons keep durations."""

import numpy as np
import pytest

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.metrics.thinning import thinned
from tests.evaluation.pairs_of_runs import ALPHA, pair


def test_frames_are_evenly_spaced_and_blocks_keep_their_duration():
    torsions = np.repeat([ALPHA], 900, axis=0)
    comparison = pair(torsions[:450], torsions, model_spacing_ps=20.0, block_ps=1000.0)
    few = thinned(comparison, 100)
    assert len(few.model) == 90 and len(few.reference) == 100
    assert (few.model == comparison.model[::5]).all() and (few.reference == comparison.reference[::9]).all()
    assert (few.model_spacing_ps, few.reference_spacing_ps) == (100.0, 90.0)
    assert few.resampling.block_frames == 10 and few.resampling.stride == 1
    assert len(few.model_series) == 450


def test_a_short_run_stays_whole_and_too_few_are_refused():
    torsions = np.repeat([ALPHA], 60, axis=0)
    comparison = pair(torsions, torsions, model_spacing_ps=None)
    assert len(thinned(comparison, 100).model) == 60
    assert thinned(comparison, 100).model_spacing_ps is None
    with pytest.raises(ConfigError, match="most_frames"):
        thinned(comparison, 1)
