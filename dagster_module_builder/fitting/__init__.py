"""Fitting a module into a workspace that this program did not make.

A fragment is written for the workspace template. In another workspace the services that run code may have the module's
folder at another path or not at all, may lose outputs, or may not get the module's variables. What is missing is added
to the module's blocks; what cannot be added is a reason to refuse the module.
"""
