"""What is asked: items, tasks, personas, pair designs."""
