"""MD and jumps in one Simulation: the cycle, what follows a jump, an exact local kernel, protocols and their runs."""
