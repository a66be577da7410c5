"""The edge to image files: upright decoding, cropping, atomic writing, metadata policy."""
