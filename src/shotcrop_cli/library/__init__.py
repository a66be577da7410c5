"""What to do over a photo library: discovery, the plan, the lock and the tally."""
