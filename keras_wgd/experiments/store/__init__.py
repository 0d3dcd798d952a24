"""Results on disk: a folder for each run, written whole or not at all."""
