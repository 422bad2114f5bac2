"""What is in order on this machine and in a workspace, what is not, and the cure of each."""
