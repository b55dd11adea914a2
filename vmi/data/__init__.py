"""Images as resident tensors, minibatches, augmentation, streams of random numbers."""
