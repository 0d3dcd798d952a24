"""`keras-wgd compare`."""
