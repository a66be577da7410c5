"""How fast shotcrop is, beside named limits and peers."""
