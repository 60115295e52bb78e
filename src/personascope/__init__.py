"""Look at the person a language model is being."""
