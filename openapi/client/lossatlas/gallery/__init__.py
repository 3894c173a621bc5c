"""The questions of Li et al. (2018) asked of networks trained here: one page of answers.

Trains, pushes and maps through the client, as any user would. Needs the extra `demo` (torch and
scikit-learn); the rest of the client imports nothing of it.
"""
