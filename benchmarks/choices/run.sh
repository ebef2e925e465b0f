#!/usr/bin/env bash
# The measurements behind two choices: peptides alone or with small molecules, one lag or several. Each run starts from
# the weights of ala2, has the same scale of error and as many steps; resumable. Data: data/plan-1.json (pretrained/unified/rebuild.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for arm in peptide unified lag-20; do
    steps=$(grep -o '"steps": [0-9]*' "benchmarks/choices/$arm.json" | grep -o '[0-9]*')
    [ -e "runs/choices/$arm/log.jsonl" ] && grep -q "\"step\": $steps," "runs/choices/$arm/log.jsonl" && continue
    openmm-unisim train vector-field "benchmarks/choices/$arm.json" --output "runs/choices/$arm"
done
python benchmarks/learning_curves.py peptide=runs/choices/peptide unified=runs/choices/unified lag-20=runs/choices/lag-20 \
    --figures valid valid_lag_20 valid_lag_50 valid_lag_100 --title "Choices" \
    --json benchmarks/results/choices.json --svg docs/figures/choices.svg
