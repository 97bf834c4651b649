"""Impact of the laws of the inputs: quantities under many laws from one sample."""
