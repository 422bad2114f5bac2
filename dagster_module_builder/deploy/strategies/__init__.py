"""What the strategies share: the base class, release folders, images, snapshots."""
