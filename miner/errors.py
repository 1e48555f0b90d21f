"""Every error a user can meet. The message says what was got, what was expected and what to do."""

from __future__ import annotations


class RmMinerError(Exception):
    """Base of all our errors; the CLI prints the message on one line and exits with ``exit_status``."""

    exit_status = 2


class ConfigError(RmMinerError):
    """A campaign file, option or combination of options that cannot be run."""


class DataError(RmMinerError):
    """Preference data that cannot be read: names the file and the line."""


class ModelError(RmMinerError):
    """A model that cannot be loaded or must not be trusted as a reward model."""


class NoRoomError(ModelError):
    """A model or a text that does not fit the memory of its device."""


class CapabilityError(RmMinerError):
    """An attack needs what this RM or campaign does not offer."""


class TooLongError(RmMinerError):
    """An input is over the model's maximum length and truncation was not asked for."""


class ResumeError(RmMinerError):
    """A stored campaign was made with something else than what is being resumed."""


class RemoteError(RmMinerError):
    """A remote RM that cannot be used: its address, its key, its protocol, or what it answers."""


class OutageError(RemoteError):
    """A remote RM that gave no usable answer however often it was asked. What was stored is intact."""


class BudgetExceededError(RmMinerError):
    """A remote RM may not be asked any more: the ceiling on requests or cost is reached."""
