"""What people look at after a run: the contact sheet and the table of metrics."""
