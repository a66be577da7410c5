"""Pseudo labels: who proposes them, who accepts them, and the report."""
