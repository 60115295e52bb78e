"""What it says: Likert and choice read-outs, scales, utilities, paired statistics."""
