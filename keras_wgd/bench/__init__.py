"""What a step of each optimizer costs, beside its peers, on the machine at hand."""
