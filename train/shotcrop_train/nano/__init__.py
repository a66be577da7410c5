"""`shotcrop-nano`: the compact vision-language model that ships with the package.

Importing this package registers its classes with transformers' auto classes, so that a saved checkpoint loads with
`AutoModelForImageTextToText.from_pretrained` and `AutoProcessor.from_pretrained`.
"""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from shotcrop_train.nano.configuration import MODEL_TYPE, NanoConfig
from shotcrop_train.nano.modelling import NanoForConditionalGeneration
from shotcrop_train.nano.processing import NanoImageProcessor, NanoProcessor

AutoConfig.register(MODEL_TYPE, NanoConfig)
AutoModelForImageTextToText.register(NanoConfig, NanoForConditionalGeneration)
# trl reloads the reference model of GRPO through the causal class.
AutoModelForCausalLM.register(NanoConfig, NanoForConditionalGeneration)
AutoImageProcessor.register(NanoConfig, slow_image_processor_class=NanoImageProcessor)
AutoProcessor.register(NanoConfig, NanoProcessor)

__all__ = ["NanoConfig", "NanoForConditionalGeneration", "NanoImageProcessor", "NanoProcessor"]
