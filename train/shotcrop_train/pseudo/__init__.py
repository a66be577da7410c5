"""Pseudo labels: proposers, the decision which proposals to accept, and the report."""
