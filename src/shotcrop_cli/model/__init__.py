"""From a model folder to a `Composer`: bundle, sessions, constrained decoding, answers."""
