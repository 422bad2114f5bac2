"""How a module is fitted into a workspace that need not be of our own making.

A fragment is written for the workspace that our template makes. In any other one, the services that run code may see
the module's folder at another path or not at all, store outputs where they vanish, or not get the module's variables.
What is missing is added to the module's own blocks; what cannot be added is a reason to refuse the module.
"""
