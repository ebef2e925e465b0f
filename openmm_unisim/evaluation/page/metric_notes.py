"""One sentence about each metric, for tooltips and readers who meet it first; definitions are in docs/metrics.md."""

UNEXPLAINED = ""

# The stem of a key: what stands before the bracket, without a final number.
_NOTES = {
    "pwd": "Jensen-Shannon distance of the distance of two alpha carbons four or more residues apart, mean over pairs.",
    "rg": "Jensen-Shannon distance of the radius of gyration of the alpha carbons.",
    "tic": "Mean Jensen-Shannon distance along the two slowest directions (TICA) of the reference.",
    "tic_2d": "Jensen-Shannon distance of the joint distribution along the two slowest directions of the reference.",
    "val_ca": "Fraction of frames in which no alpha carbons clash (0.30 nm) and no neighbours are apart (0.419 nm).",
    "contact": "Root mean square error of the fractions of frames in which two alpha carbons are within 1.0 nm.",
    "ram": "Jensen-Shannon distance of the Ramachandran plot, all residues pooled.",
    "ess": "Frames over the autocorrelation time of the slowest direction: how many independent samples these are.",
    "ess_per_second": "Effective samples of the slowest direction per second of wall time.",
    "js_phi_psi_mean": "Jensen-Shannon distance of (phi, psi) on a 30 x 30 grid of the torus, mean over residues.",
    "js_phi_mean": "Jensen-Shannon distance of phi in 60 bins, mean over residues.",
    "js_psi_mean": "Jensen-Shannon distance of psi in 60 bins, mean over residues.",
    "js_phi_psi": "Jensen-Shannon distance of (phi, psi) of this residue on a 30 x 30 grid of the torus.",
    "js_phi": "Jensen-Shannon distance of phi of this residue in 60 bins.",
    "js_psi": "Jensen-Shannon distance of psi of this residue in 60 bins.",
    "stay_alpha": "Fraction of frames with psi in [-120, 50) that are there one lag time later, too.",
    "stay_beta": "Fraction of frames with psi outside [-120, 50) that are outside one lag time later, too.",
    "stay": "Fraction of frames in this basin that are in it one lag time later, too.",
    "implied_timescale": "Relaxation time of this process in a Markov model of the basins; 1 is the slowest.",
    "mfpt": "Mean time from the first basin until the second is reached for the first time, in a Markov model.",
    "decorrelation_time": "Model time that gives one independent sample of the basin that changes slowest.",
    "free_energy_error_mean": "Mean over the certain basins of the absolute error of the free energy.",
    "free_energy_error_max": "Largest absolute error of the free energy among the certain basins.",
    "free_energy": "-ln of the share of this basin in the population of all certain basins, in kT.",
    "free_energy_error": "Free energy of this basin (over all certain ones) in the model less that in the reference.",
    "bond_shift": "Root mean square shift of the median bond lengths of this group.",
    "bond_width_ratio": "Spread of bond lengths over that of MD; 1 is right, below 1 is too stiff.",
    "worst_bond_shift": "The bond whose median length is furthest from MD's.",
    "angle_shift": "Root mean square shift of the median bond angles of this group.",
    "angle_width_ratio": "Spread of bond angles over that of MD; 1 is right, below 1 is too stiff.",
    "worst_angle_shift": "The bond angle whose median is furthest from MD's.",
    "fraction_nan": "Fraction of frames with a NaN or infinite coordinate.",
    "fraction_explosion": "Fraction of frames with a bond off its length by more than 0.05 nm, or NaN.",
    "fraction_bond_off": "Fraction of frames with a bond off its length by more than 0.025 nm.",
    "fraction_chirality_flipped": "Fraction of frames in which a stereocentre has the other handedness.",
    "fraction_clash": "Fraction of frames with heavy atoms, more than three bonds apart, within 0.20 nm.",
    "fraction_cis": "Fraction of frames with a peptide bond that is cis.",
    "energy": "Potential energies and forces of the frames under the force field.",
    "energy_shift": "Median potential energy of the model's frames less that of MD, in kT.",
    "energy_shift_per_ten_atoms": "The same for ten atoms, which compares between molecules.",
    "energy_iqr_ratio": "Width of the energy distribution over that of MD; 1 is right, above 1 is too rough.",
    "energy_js": "Jensen-Shannon distance of the potential energies in 44 bins, the outer two open.",
    "force_rms_ratio": "Root mean square force on an atom over that of MD; above 1 means strained structures.",
    "energy_shift_without_xh_bonds": "Median energy less that of MD, without bonds to hydrogen (often constrained).",
    "drift_js_phi_psi": "Slope of the distance of (phi, psi) to the reference over consecutive windows; 0 is no drift.",
    "worst_window_js_phi_psi": "Largest distance of (phi, psi) to the reference among consecutive windows of the run.",
    "drift_population_alpha": "Slope of the population of alpha over consecutive windows; 0 is no drift.",
    "two_temperature_slope": "Measured over expected shift of energies between two temperatures; 1 is Boltzmann's law.",
}


def meaning(key: str) -> str:
    """The sentence of a metric's key; empty for one that isn't known."""
    stem = key.split("[")[0]
    if stem in _NOTES:
        return _NOTES[stem]
    return _NOTES.get(stem.rstrip("0123456789").rstrip("_"), UNEXPLAINED)
