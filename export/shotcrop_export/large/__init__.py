"""Export large checkpoints of the Qwen-VL families to model folders."""
