"""The strategies by which releases get to hosts: a folder for each, and what all of them share."""

from deploy_strategies.folders import strategy_folder

__all__ = ["strategy_folder"]
