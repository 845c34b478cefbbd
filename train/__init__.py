"""Training of networks whose activations take |A| levels and whose weights take |W| values."""
