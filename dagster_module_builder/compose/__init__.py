"""The workspace's Compose project: services, images, what is built."""
