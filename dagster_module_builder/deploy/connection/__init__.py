"""Reaching a host: addresses, keys, channels, the conversation."""
