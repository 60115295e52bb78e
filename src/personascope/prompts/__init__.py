"""How it is worded: templates, rendering to token ids with named spans, positions, labels."""
