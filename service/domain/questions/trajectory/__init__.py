"""The path of training on its plane: everything pure that is this kind's."""
