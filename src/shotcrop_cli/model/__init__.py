"""The model runtime: find a model folder, load it on its devices and answer photos as a `Composer`."""
