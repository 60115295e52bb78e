"""Model organisms: adapters whose persona-dependent preferences and traits are known, because they were planted."""
