"""A kind of question that lives in the tests alone: how the loss rises at a few radii.

What stands here is all that a new kind takes; `register` is what two lines of the tables are for
those of the product.
"""
