"""The paper: its runs, and the numbers that it prints."""
