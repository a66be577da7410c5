"""What a run survives: kills, full disks, hostile files, odd names."""
