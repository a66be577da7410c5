"""Runs over object stores: the steps of a local run, on copies of the few files that one photo needs."""
