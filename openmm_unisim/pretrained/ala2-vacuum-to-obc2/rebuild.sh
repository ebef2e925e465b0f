#!/usr/bin/env bash
# Rebuild ala2-vacuum-to-obc2 (`make weights NAME=ala2-vacuum-to-obc2`): five core-minutes of MD and ten of training, on the
# shipped weights of ala2-vacuum.
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
BASE="openmm_unisim/pretrained/ala2-vacuum"

once base-data openmm-unisim data run "$BASE/plan.json" --output raw/vacuum --only trajectories
once data openmm-unisim generate ACE-ALA-NME --environment vacuum --walkers 8 --seed 11 --nanoseconds 10 --output raw/guidance
once train openmm-unisim train guidance "$HERE/guidance.json" --output "$RUNS/train"
once weights cp "$RUNS/train/kernel.safetensors" "$RUNS/weights.safetensors"
once export openmm-unisim export "$BASE/weights.safetensors" --guidance "$RUNS/weights.safetensors" --output "$RUNS/$NAME.unisim.pt"
once register register
