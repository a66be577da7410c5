"""What works on this machine and what does not, each problem with the command that mends it."""
