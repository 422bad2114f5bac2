"""Bring a module up to today's template, or to today's pattern, without losing a line that anybody wrote."""
