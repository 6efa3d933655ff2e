"""Checks requests against the rules in the contract (protovalidate), so that handlers see only what the contract allows."""

from dataclasses import dataclass
from typing import Any

from protovalidate import Validator

from penstock_kit.errors import InvalidInput
from penstock_kit.interceptors.call import Call, MethodKind, Proceed

__all__ = ["FieldViolation", "RequestInvalid", "RequestValidator", "Validate"]

_VIOLATIONS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks a rule of the contract.

    Attributes:
        field: Path of the field, such as `runs[3].name`.
        rule: The rule, such as `string.max_len`.
        message: For people.
    """

    field: str
    rule: str
    message: str


class RequestInvalid(InvalidInput):
    """Fields of the request break rules of the contract. Travels with `google.rpc.BadRequest`."""

    reason = "REQUEST_INVALID"

    def __init__(self, violations: list[FieldViolation]) -> None:
        first = violations[0]
        super().__init__(f"{first.field or 'The request'}: {first.message}", field=first.field, rule=first.rule)
        self.violations = violations


class RequestValidator:
    """Knows the rules of all messages that it saw: the first of a type takes longer."""

    def __init__(self) -> None:
        self._validator = Validator()

    def check(self, message: Any) -> None:
        """Raises `RequestInvalid` with up to 20 violations."""
        violations = self._validator.collect_violations(message)
        if violations:
            raise RequestInvalid([_field_violation(found.proto) for found in violations[:_VIOLATIONS_SHOWN_MAX]])


class Validate:
    """The stage. Messages of client streams are checked where they are decoded, or by their own codec.

    Args:
        validator: Shared with the decoders.
    """

    def __init__(self, validator: RequestValidator) -> None:
        self._validator = validator

    async def __call__(self, call: Call, proceed: Proceed) -> None:
        if call.method.kind is not MethodKind.CLIENT_STREAM:
            self._validator.check(call.request)
        await proceed(call)


def _field_violation(violation: Any) -> FieldViolation:
    path = ""
    for element in violation.field.elements if violation.field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value!r}]"
    return FieldViolation(path, violation.rule_id, violation.message)
