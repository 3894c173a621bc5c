"""The Hessian's spectrum at a checkpoint, or over a plane, in the workers."""
