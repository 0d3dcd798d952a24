"""Charts and tables of the trials of a comparison."""
