"""The tasks that come with the package: data sets and networks."""
