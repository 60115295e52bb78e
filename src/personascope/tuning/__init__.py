"""Can it be taught: targets, LoRA training, and how far a model's answers moved toward its ideal self."""
