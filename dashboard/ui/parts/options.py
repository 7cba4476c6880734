"""Widgets of an ask's options, made from their declarations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import streamlit as st

from dashboard.analysis.studies.option import Many, Parameter, lines_of, parameters

A = TypeVar("A")
Read = Callable[[], Any]


def key(name: str, field: str) -> str:
    """The key of the widget of a field."""
    return f"{name}_{field}"


def inputs(
    start: A,
    name: str,
    fields: Sequence[str] | None = None,
    columns: int = 3,
    choices: Mapping[str, Sequence[Any]] | None = None,
    shown: Mapping[str, Callable[[Any], str]] | None = None,
) -> "Inputs[A]":
    """Widgets for the options of an ask that have a label, beginning with `start`.

    Args:
        start: The ask that they begin with; fields without a widget stay as they are in it.
        name: Keys are made of it and the field.
        fields: Only these, in this order; None: all that have a label.
        columns: Beside each other.
        choices: By field, the values of which several may be chosen.
        shown: By field, what a value is called.
    """
    known = {one.name: one for one in parameters(type(start)) if one.option.label or (fields and one.name in fields)}
    readers: dict[str, Read] = {}
    places: Sequence[Any] = ()
    for place, field in enumerate(fields or known):
        if place % columns == 0:  # a row at a time: widgets of one row stand at one height
            places = st.columns(columns, vertical_alignment="bottom")
        with places[place % columns]:
            one, value = known[field], getattr(start, field)
            readers[field] = _widget(one, key(name, field), value, (choices or {}).get(field), (shown or {}).get(field))
    return Inputs(start, readers)


@dataclass(frozen=True)
class Inputs(Generic[A]):
    """What widgets say."""

    start: A
    readers: Mapping[str, Read]

    def values(self) -> dict[str, Any]:
        """By field.

        Raises:
            BadAsk: if one is of another form.
        """
        return {field: read() for field, read in self.readers.items()}

    def ask(self, **given: Any) -> A:
        """The ask with the current widget values; values given by name replace them.

        Raises:
            BadAsk: if one is of another form, or they cannot be asked together.
        """
        start: Any = self.start
        return replace(start, **{**self.values(), **given})


def _widget(one: Parameter, key: str, value: Any, choices: Sequence[Any] | None, shown: Callable[[Any], str] | None) -> Read:
    own = one.option
    label, help_ = own.label or one.name, own.help
    if choices is not None or (one.several and one.is_enum):
        among = list(choices if choices is not None else one.kind)
        chosen = st.multiselect(label, among, [one for one in value if one in among], key=key, format_func=shown or str, help=help_)
        return lambda: tuple(chosen)
    if one.several and own.many is Many.LINES:
        lines = st.text_area(label, "\n".join(value), key=key, help=help_)
        return lambda: lines_of(lines)
    if one.several:
        text = st.text_input(label, ", ".join(map(one.show, value)), key=key, help=help_)
        return lambda: one.read_all(text)
    if one.kind is bool:
        on = st.toggle(label, value, key=key, help=help_)
        return lambda: on
    if one.is_enum:
        among = list(one.kind)
        picked = st.selectbox(label, among, among.index(value), key=key, format_func=shown or str, help=help_)
        return lambda: one.kind(picked)
    if one.kind in (int, float):
        low, high = (None if limit is None else one.kind(limit) for limit in (own.low, own.high))
        number = st.number_input(label, low, high, value, key=key, help=help_)
        return lambda: None if number is None else one.kind(number)
    text = st.text_input(label, one.show_all(value), key=key, help=help_)
    return lambda: None if one.default is None and not text.strip() else one.read(text)
