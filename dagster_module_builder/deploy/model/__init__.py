"""What a deployment is, as its files say."""
