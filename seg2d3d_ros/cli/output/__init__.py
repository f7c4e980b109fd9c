"""What a command tells: text for a person, or events for a program, and a log file beside either."""
