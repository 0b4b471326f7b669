"""One function a loss: formula, reference, and gradients where they are ours."""
