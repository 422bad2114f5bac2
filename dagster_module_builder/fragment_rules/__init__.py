"""What a module's fragments may say: allow-lists, so that a setting that nobody thought of is refused, too.

Pure: the fragments' bytes in, the settings that a person has to allow out.
"""
