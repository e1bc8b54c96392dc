"""The labeling window, itself a Labeler; it knows the store and the core types, nothing else."""
