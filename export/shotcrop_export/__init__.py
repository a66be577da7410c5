"""Export a trained checkpoint to a verified ONNX model folder."""
