"""The stages of the compact model's composer, and what they share."""
