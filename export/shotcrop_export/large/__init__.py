"""Large checkpoints, Qwen-VL class, to model folders."""
