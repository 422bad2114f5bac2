"""The assets' resources: storage and the supplier's folder."""

import dagster as dg

from .sftp import SftpFolder
from .storage import ModuleStorage

RESOURCES = {
    "io_manager": ModuleStorage(),
    "notes": SftpFolder(
        host=dg.EnvVar("DELIVERY_NOTES_SFTP_HOST"),
        port=dg.EnvVar("DELIVERY_NOTES_SFTP_PORT"),
        user=dg.EnvVar("DELIVERY_NOTES_SFTP_USER"),
        folder=dg.EnvVar("DELIVERY_NOTES_SFTP_FOLDER"),
        key_file=dg.EnvVar("DELIVERY_NOTES_SFTP_KEY_FILE"),
        known_hosts=dg.EnvVar("DELIVERY_NOTES_SFTP_KNOWN_HOSTS"),
    ),
}
