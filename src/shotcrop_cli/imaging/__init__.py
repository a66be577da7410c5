"""Everything about image files: decode, crop, encode, colour, and the metadata that crops keep."""
