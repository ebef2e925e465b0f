"""Where the time of a jump and of a training step goes: throughput, breakdown, scaling, training."""
