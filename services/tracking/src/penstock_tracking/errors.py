"""What can go wrong in tracking, in its own words. `penstock_kit.errors` says which gRPC code each family becomes."""

from penstock_kit.errors import (
    Aborted,
    AlreadyExists,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
    Unavailable,
)

__all__ = [
    "BatchInvalid",
    "CursorInvalid",
    "DefaultExperiment",
    "DigestConflict",
    "DigestMismatch",
    "EtagMismatch",
    "ExperimentDeleted",
    "ExperimentExists",
    "ExperimentNotFound",
    "FieldInvalid",
    "LoggedModelNotFound",
    "ParamConflict",
    "ParamNotFound",
    "PatternInvalid",
    "RunDeleted",
    "RunExists",
    "RunMoved",
    "RunNotFound",
    "RunTooLarge",
    "SequenceGap",
    "ServerStopping",
    "TooManyEntries",
    "TooManyMetrics",
    "TooManySeries",
    "WriterFenced",
]


class ExperimentNotFound(NotFound):
    """There is no such experiment."""

    reason = "EXPERIMENT_NOT_FOUND"


class ExperimentExists(AlreadyExists):
    """An active experiment of the project has the display name."""

    reason = "EXPERIMENT_EXISTS"


class ExperimentDeleted(PreconditionFailed):
    """The experiment is in the bin."""

    reason = "EXPERIMENT_DELETED"


class DefaultExperiment(PreconditionFailed):
    """The experiment `0` of a project cannot be deleted."""

    reason = "DEFAULT_EXPERIMENT"


class LoggedModelNotFound(NotFound):
    """There is no such logged model."""

    reason = "LOGGED_MODEL_NOT_FOUND"


class RunNotFound(NotFound):
    """There is no such run."""

    reason = "RUN_NOT_FOUND"


class RunExists(AlreadyExists):
    """Somebody else made a run with this id."""

    reason = "RUN_EXISTS"


class RunMoved(Unavailable):
    """What a run is kept in was replaced while it was read: read it again."""

    reason = "RUN_MOVED"


class RunDeleted(PreconditionFailed):
    """The run is in the bin."""

    reason = "RUN_DELETED"


class ParamNotFound(NotFound):
    """The run has no such param."""

    reason = "PARAM_NOT_FOUND"


class ParamConflict(PreconditionFailed):
    """A param was written before with another value."""

    reason = "PARAM_CONFLICT"


class TooManyEntries(LimitExceeded):
    """A run would hold more params, tags, summary entries or metric definitions than it may."""

    reason = "TOO_MANY_ENTRIES"


class RunTooLarge(LimitExceeded):
    """The record of a run, with all its params, tags and summary entries, would be larger than a store takes."""

    reason = "RUN_TOO_LARGE"


class TooManyMetrics(LimitExceeded):
    """The request asks for the latest values of more metrics than one answer may hold."""

    reason = "TOO_MANY_METRICS"


class EtagMismatch(Aborted):
    """The resource changed since it was read."""

    reason = "ETAG_MISMATCH"


class FieldInvalid(InvalidInput):
    """A field of the request breaks a rule that the contract states in words."""

    reason = "FIELD_INVALID"


class BatchInvalid(InvalidInput):
    """A batch breaks a rule of `MetricBatchContent`."""

    reason = "BATCH_INVALID"


class DigestMismatch(InvalidInput):
    """The content of a batch is not what its digest says."""

    reason = "DIGEST_MISMATCH"


class DigestConflict(PreconditionFailed):
    """The sequence was taken before by a batch with another digest."""

    reason = "DIGEST_CONFLICT"


class SequenceGap(PreconditionFailed):
    """A batch came before its predecessor. Metadata: `expected`."""

    reason = "SEQUENCE_GAP"


class ServerStopping(Unavailable):
    """The server is told to stop: another call finds another replica, or this one when it is back."""

    reason = "SERVER_STOPPING"


class WriterFenced(Aborted):
    """A newer sender reads the spool of this writer."""

    reason = "WRITER_FENCED"


class WriterReopened(Unavailable):
    """Another stream of this writer was opened since, on whichever replica. The sender may open one again."""

    reason = "WRITER_REOPENED"


class CursorInvalid(InvalidInput):
    """A cursor is damaged, or belongs to another run."""

    reason = "CURSOR_INVALID"


class PatternInvalid(InvalidInput):
    """A regular expression is malformed or too costly."""

    reason = "PATTERN_INVALID"


class TooManySeries(InvalidInput):
    """The request asks for more series than one answer may hold."""

    reason = "TOO_MANY_SERIES"
