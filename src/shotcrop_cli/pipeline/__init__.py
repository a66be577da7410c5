"""Carries out tasks: decode photos, ask the model in batches, write crops and sidecars."""
