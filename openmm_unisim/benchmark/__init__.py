"""Speed questions that are commands: MD at its best, and effective samples per second beside it."""
