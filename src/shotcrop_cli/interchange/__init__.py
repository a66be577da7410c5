"""Results for other programs: tables of crops, and boxes in the formats of annotation tools."""
