"""Training: the loop, optimizer steps, schedules, checkpoints and logs."""
