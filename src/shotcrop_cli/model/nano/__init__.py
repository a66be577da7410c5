"""The compact model at run time."""
