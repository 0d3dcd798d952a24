"""The report of a study: tables, charts and a page."""
