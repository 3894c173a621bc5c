"""The questions of Li et al. (2018) asked of networks trained here: one page of answers.

Trains, pushes and maps through the client, as any user would; never reaches around it. The client
knows nothing of it but its name.
"""
