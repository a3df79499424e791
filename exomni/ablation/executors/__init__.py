"""Where the jobs of an ablation run: one file, one executor (kind "executor")."""

from exomni.ablation.executors.base import Executor, Outcome, Submission

__all__ = ["Executor", "Outcome", "Submission"]
