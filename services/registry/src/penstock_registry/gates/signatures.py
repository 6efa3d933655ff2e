"""Whether clients of one version of a model can use another."""

from collections.abc import Sequence

from penstock_registry.domain import Field, Signature

__all__ = ["incompatibility"]


def incompatibility(new: Signature, old: Signature) -> str:
    """Why clients that know the old signature cannot use the new one, in a sentence; empty if they can.

    A client sends what the old one names, and reads every output of the old one.
    """
    for kind in ("inputs", "params"):
        problem = _asked(getattr(new, kind), getattr(old, kind), kind.removesuffix("s"))
        if problem:
            return problem
    outputs = {field.name: field for field in new.outputs}
    for field in old.outputs:
        given = outputs.get(field.name)
        if given is None:
            return f"It does not return the output {_said(field)}."
        if given.datatype != field.datatype:
            return f"It returns the output {_said(field)} as {given.datatype}, not as {field.datatype}."
        if not _fits(given.shape, field.shape):
            return f"It returns the output {_said(field)} with the shape {list(given.shape)}, not {list(field.shape)}."
    return ""


def _asked(new: Sequence[Field], old: Sequence[Field], kind: str) -> str:
    sent = {field.name: field for field in old}
    taken = {field.name: field for field in new}
    for field in new:
        if field.name not in sent and not field.optional:
            return f"It asks for the {kind} {_said(field)}, which clients do not send."
    for field in old:
        wanted = taken.get(field.name)
        if wanted is None:
            return f"It does not take the {kind} {_said(field)}."
        if wanted.datatype != field.datatype:
            return f"It takes the {kind} {_said(field)} as {wanted.datatype}, not as {field.datatype}."
        if not _fits(field.shape, wanted.shape):
            return f"It takes the {kind} {_said(field)} with the shape {list(wanted.shape)}, not {list(field.shape)}."
        if field.optional and not wanted.optional:
            return f"It asks for the {kind} {_said(field)}, which clients may leave out."
    return ""


def _fits(given: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether everything of the shape `given` is of the shape `wanted`."""
    return len(given) == len(wanted) and all(w in {-1, g} for g, w in zip(given, wanted, strict=True))


def _said(field: Field) -> str:
    return repr(field.name) if field.name else "without a name"
