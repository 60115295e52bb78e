"""What to ask next: models of respondents, planners of questions, transcripts, and what is trained on them."""
