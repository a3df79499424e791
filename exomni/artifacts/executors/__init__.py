"""Where jobs run: one file, one executor (kind "executor")."""

from exomni.artifacts.executors.base import Executor, How, Outcome, RefusedError, Submission, UnavailableError

__all__ = ["Executor", "How", "Outcome", "RefusedError", "Submission", "UnavailableError"]
