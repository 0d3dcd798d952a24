"""The study: from the spec of a run to its result, and to tables."""
