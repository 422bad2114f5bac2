"""A Dagster code location; its definitions are in ``definitions.py``."""

TITLE = {{ cookiecutter.title | python_string }}
DESCRIPTION = {{ cookiecutter.description | python_string }}

#: Prefix of every asset key, name of the asset group, and name of the code location.
NAME = "{{ cookiecutter.__snake }}"
