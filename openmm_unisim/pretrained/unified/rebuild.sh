#!/usr/bin/env bash
# Rebuild unified (`make weights NAME=unified`): about two core-hours of MD and training as long as train.json says, which
# starts from the shipped weights of ala2 (`make weights NAME=ala2` rebuilds those); then half a core-hour of MD of the
# long peptides and training on by train-2.json.
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"

once data openmm-unisim data run data/plan-1.json --output raw/data --split train --only trajectories --workers 2
once held-out openmm-unisim data run data/plan-1.json --output raw/valid --split valid --only trajectories
once train openmm-unisim train vector-field "$HERE/train.json" --output "$RUNS/train" --threads 2
once long-data python tools/in_turn.py openmm-unisim data run data/plan-2.json --output raw/long --split train \
    --only trajectories --workers 2
once long-archive openmm-unisim data archive raw/long --output data/archive-long
once train-2 openmm-unisim train vector-field "$HERE/train-2.json" --start-from "$RUNS/train/run.safetensors" \
    --output "$RUNS/train-2" --threads 2
once calibrate openmm-unisim calibrate "$RUNS/train-2" --output "$RUNS/weights.safetensors" --iterations 1200
once export openmm-unisim export "$RUNS/weights.safetensors" --lag-time 20 --output "$RUNS/$NAME.unisim.pt"
once register register
