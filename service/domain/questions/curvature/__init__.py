"""The Hessian's spectrum at a checkpoint, or over a plane: everything pure that is this kind's."""
