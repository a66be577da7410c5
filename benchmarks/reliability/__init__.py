"""Test what a run survives: kills, full disks, hostile files, unusual names."""
