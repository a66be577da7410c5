"""Rewards of stage 3, and the photos that they are computed on."""
