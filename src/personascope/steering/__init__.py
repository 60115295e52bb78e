"""Does it cause it: interventions and coefficient sweeps."""
