"""The platforms that there are, by the names that ``deployment.yaml`` gives them."""

from __future__ import annotations

from dagster_module_builder.deploy.pipelines import github, gitlab, jenkins

PLATFORMS = {"github": github.PLATFORM, "gitlab": gitlab.PLATFORM, "jenkins": jenkins.PLATFORM}
