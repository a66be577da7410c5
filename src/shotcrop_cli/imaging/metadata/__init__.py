"""EXIF, IPTC, XMP and comments: what a photo stores and what its crops keep."""
