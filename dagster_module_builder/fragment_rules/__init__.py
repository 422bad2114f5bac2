"""What a module's fragments may contain: allow-lists, so that unknown settings are refused, too.

Pure functions: from the fragments' bytes to the settings that the user must allow.
"""
