"""The networks of the compact model, their examples and labels."""
