# What every NAME/rebuild.sh shares; it is sourced, from the top of the repository. Steps that are done are not repeated:
# a recipe that was stopped goes on where it was. `rm -r runs/weights/NAME` starts it anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export OPENMM_DEFAULT_PLATFORM="${OPENMM_DEFAULT_PLATFORM:-Reference}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
NAME="$(basename "$(dirname "${BASH_SOURCE[1]}")")"
HERE="openmm_unisim/pretrained/$NAME"
RUNS="runs/weights/$NAME"
mkdir -p "$RUNS"

# once STEP COMMAND...: run a command unless STEP is done.
once() {
    local step="$1"
    shift
    [ -e "$RUNS/$step.done" ] && return
    echo "== $NAME: $step"
    "$@"
    touch "$RUNS/$step.done"
}

# register: check the new model file, put it and its weights in place, and write the registry's entry.
register() {
    cp "$RUNS/weights.safetensors" "$HERE/weights.safetensors"
    cp "$RUNS/$NAME.unisim.pt" "$HERE/$NAME.unisim.pt"
    cp "$RUNS/$NAME.unisim.pt.sha256" "$HERE/$NAME.unisim.pt.sha256"
    python tools/register_model.py "$NAME" "$HERE/$NAME.unisim.pt" "$HERE/card.md" "$HERE/weights.safetensors"
}
