"""nn.Modules made of ops; they know tensors and buffers, no engine and no cache."""
