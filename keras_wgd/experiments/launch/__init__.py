"""Many runs: worker processes, GPUs and Ray."""
