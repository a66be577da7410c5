"""How good the crops of a model are, beside baselines."""
