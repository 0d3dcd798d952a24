"""What a comparison is, and how it is run, kept and analysed; nothing of the paper."""
