"""The error family. Expected outcomes (reject, drop, late) are values, not errors."""

from __future__ import annotations


class EoError(Exception):
    """Base of every error that this project raises on purpose."""


class ContractError(EoError):
    """A value breaks its contract at a node's border.

    Attributes:
        field: dotted name of the offending field.
        reason: what is wrong, readable by the sender.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ConfigError(EoError):
    """A configuration file, parameter or graph description is wrong."""


class ProtocolError(EoError):
    """Bytes that break a protocol; subclasses say who is to blame."""


class LocalProtocolError(ProtocolError):
    """Our caller asked for something the protocol forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol forbids."""


class StorageError(EoError):
    """Durable state cannot be read or written."""


class FrameStoreError(StorageError):
    """A frame is absent, evicted or does not match its digest."""


class ModelError(EoError):
    """A model folder is refused or an inference cannot be carried out."""


class ImageError(EoError):
    """An image cannot become a scene.

    Attributes:
        code: stable lower-case name, e.g. ``truncated``, ``wrong_band_count``.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class CommandRejected(EoError):  # noqa: N818 - the name operators know
    """A task or command is refused; the reason goes back to the asker."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
