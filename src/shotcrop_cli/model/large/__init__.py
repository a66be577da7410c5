"""Run exported Qwen-VL models as a `Composer`, without torch."""
