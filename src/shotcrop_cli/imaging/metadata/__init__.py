"""EXIF, IPTC and XMP: read from photos, and written for crops."""
