"""What was seen: plans, immutable shards and the store of residual-stream rows."""
