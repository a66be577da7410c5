"""Turn one photo of people into an establishing, a medium and a close-up shot."""

__version__ = "0.1.0"
