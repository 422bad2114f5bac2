"""Rendering Cookiecutter's templates."""
