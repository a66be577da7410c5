"""Rewards of stage 3, and the photos they are given for."""
