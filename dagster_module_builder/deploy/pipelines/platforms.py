"""All platforms, by their names in ``deployment.yaml``."""

from __future__ import annotations

from dagster_module_builder.deploy.pipelines import github, gitlab, jenkins

PLATFORMS = {"github": github.PLATFORM, "gitlab": gitlab.PLATFORM, "jenkins": jenkins.PLATFORM}
