#!/usr/bin/env bash
# Rebuild chignolin (`make weights NAME=chignolin`): 20 ns of MD, an hour or two of a core, then half an hour of
# fine-tuning from the shipped weights of unified; `make weights NAME=unified` rebuilds those.
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"

MD=raw/chignolin/chignolin.obc2.300K.h-bonds
once md python tools/in_turn.py openmm-unisim generate data/structures/chignolin.pdb --output raw/chignolin \
    --environment obc2 --constraints h-bonds --time-step 4 --frame-spacing 2 --scramble-time 0 --equilibration-time 100 \
    --walkers 2 --seed 1 --nanoseconds 10
once train openmm-unisim train finetune --topology data/structures/chignolin.pdb --from unified --output "$RUNS/train" \
    --lag-time 20 --steps 1300 --equilibrium --trajectory "$MD.seed1.h5" --trajectory "$MD.seed2.h5"
once calibrate openmm-unisim calibrate "$RUNS/train" --output "$RUNS/weights.safetensors"
once export openmm-unisim export "$RUNS/weights.safetensors" --output "$RUNS/$NAME.unisim.pt"
once register register
