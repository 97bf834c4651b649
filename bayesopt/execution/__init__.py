"""Run the user's function: here, in a process of its own, or on any executor.

Nothing here knows a study or a storage.
"""
