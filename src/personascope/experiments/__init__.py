"""One file, one study: each composes the rooms into one readable experiment."""
