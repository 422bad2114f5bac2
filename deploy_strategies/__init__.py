"""How a deployment reaches its host: a folder a strategy, and what all of them share."""

from deploy_strategies.folders import strategy_folder

__all__ = ["strategy_folder"]
