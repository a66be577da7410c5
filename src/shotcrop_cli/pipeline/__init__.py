"""Runs a plan: decode, batch, compose, write."""
