#!/usr/bin/env bash
# Rebuild unified (`make weights NAME=unified`): about two core-hours of MD, then training as long as train.json says. It
# starts from the shipped weights of ala2; `make weights NAME=ala2` rebuilds those.
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"

once data openmm-unisim data run data/plan-1.json --output raw/data --split train --only trajectories --workers 2
once held-out openmm-unisim data run data/plan-1.json --output raw/valid --split valid --only trajectories
once train openmm-unisim train vector-field "$HERE/train.json" --output "$RUNS/train" --threads 2
once calibrate openmm-unisim calibrate "$RUNS/train" --output "$RUNS/weights.safetensors" --iterations 1200
once export openmm-unisim export "$RUNS/weights.safetensors" --lag-time 20 --output "$RUNS/$NAME.unisim.pt"
once register register
