"""The path of training on its plane, in the workers."""
