"""The workspace's Compose project: services, images and builds."""
