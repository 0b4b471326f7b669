"""Loss functions, one per module, some with custom gradients."""
