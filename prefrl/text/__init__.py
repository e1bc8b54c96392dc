"""Text from comparisons: a causal language model as the policy, on the same core as control."""
