"""The shared files' formats: how a fragment becomes blocks in each, and what is there already."""
