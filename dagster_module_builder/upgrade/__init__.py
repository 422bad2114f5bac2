"""Upgrade a module to the current template, or add what it lacks, without losing manual changes."""
