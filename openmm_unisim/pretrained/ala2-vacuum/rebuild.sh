#!/usr/bin/env bash
# Rebuild ala2-vacuum (`make weights NAME=ala2-vacuum`): two minutes of MD and about half an hour of training on a core. It
# starts from the shipped weights of ala2; `make weights NAME=ala2` rebuilds those.
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"

once data openmm-unisim data run "$HERE/plan.json" --output raw/vacuum --only trajectories
once train openmm-unisim train vector-field "$HERE/train.json" --output "$RUNS/train"
once calibrate openmm-unisim calibrate "$RUNS/train" --output "$RUNS/weights.safetensors" --iterations 1200
once export openmm-unisim export "$RUNS/weights.safetensors" --output "$RUNS/$NAME.unisim.pt"
once register register
