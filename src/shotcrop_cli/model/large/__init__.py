"""Large models: Qwen-VL class exports behind the same `Composer` as the compact model, without torch."""
