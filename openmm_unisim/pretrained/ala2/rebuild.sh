#!/usr/bin/env bash
# Rebuild ala2 from nothing (`make weights NAME=ala2`): about five hours of two cores. The same recipe as card.md, not the
# same bits; read there how the shipped stages were cut.
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"

once data openmm-unisim generate ACE-ALA-NME --output raw --nanoseconds 20 --walkers 8 --seed 1
once stage-1 openmm-unisim train vector-field "$HERE/train-1.json" --output "$RUNS/1"
once stage-2 openmm-unisim train vector-field "$HERE/train-2.json" --output "$RUNS/2" --start-from "$RUNS/1/run.safetensors"
once stage-3 openmm-unisim train vector-field "$HERE/train-3.json" --output "$RUNS/3" --start-from "$RUNS/2/run.safetensors"
once stage-4 openmm-unisim train vector-field "$HERE/train-4.json" --output "$RUNS/4" --start-from "$RUNS/3/run.safetensors"
once calibrate openmm-unisim calibrate "$RUNS/4" --output "$RUNS/weights.safetensors" --iterations 1200
once export openmm-unisim export "$RUNS/weights.safetensors" --output "$RUNS/$NAME.unisim.pt"
once register register
