"""The one encoder: everything that is asked, answered or kept can be written as JSON and read back as it was."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float32, Int32

from dashboard.analysis.asks.capture import CaptureAsk, LatentActivations
from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.asks.lens import DirectionLensAsk, KeepLensAsk, LensAsk, LensKind
from dashboard.analysis.asks.matching import MatchAsk, MatchTable
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.errors import AnalysisError, BadAsk, BadName
from dashboard.analysis.lenses.file import LensRecord, pack
from dashboard.analysis.names import LatentId, ModelId, Point, SaeId, Site
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.tokens import Prompt, TokenSpan

SAE = SaeId("release", "15.resid_post/wide")
LATENT = LatentId(SAE, 7)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Circle:
    radius: float


@dataclass(frozen=True)
class Square:
    side: float
    radius: float = 1.0


@dataclass(frozen=True, eq=False)
class Everything:
    shape: Circle | Square
    shapes: tuple[Circle | Square, ...]
    maybe: Circle | None
    by_site: dict[Site, int]
    by_layer: Mapping[int, tuple[str, ...]]
    by_pair: Mapping[tuple[str, Colour], float]
    of_sae: dict[SaeId, Float32[np.ndarray, " n"]]  # noqa: F722 - dimensions
    rows: Float32[np.ndarray, "a b"] | None  # noqa: F722
    names: Sequence[LatentId]
    colours: frozenset[Colour]
    where: Where | TokenSpan
    number: int | float
    text: str | int
    raw: bytes
    path: Path
    way: Literal["one", "two"]
    pair: tuple[int, str]
    model: ModelId


def through(kind: Any, value: Any) -> Any:
    """Written as JSON and read back."""
    return from_plain(kind, json.loads(json.dumps(to_plain(value, kind), allow_nan=False)))


def same(a: Any, b: Any) -> bool:
    """Equal, of equal classes, bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if is_dataclass(a):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return a == b


def whole(**more: Any) -> Everything:
    rows = np.array([[0.1, np.nan, -np.inf], [-0.0, 3.0, 1e-45]], np.float32)
    given = {
        "shape": Square(1.0, math.nan),
        "shapes": (Circle(math.inf), Square(-2.5)),
        "maybe": None,
        "by_site": {Site(3, Point.MLP_OUT): 1},
        "by_layer": {12: ("a",), 2: ()},
        "by_pair": {("a", Colour.RED): 0.5},
        "of_sae": {SAE: np.zeros(0, np.float32)},
        "rows": rows,
        "names": (LATENT,),
        "colours": frozenset(Colour),
        "where": Where.PROMPT,
        "number": 1,
        "text": "7",
        "raw": bytes(range(256)),
        "path": Path("a/b"),
        "way": "one",
        "pair": (1, "x"),
        "model": ModelId("owner/name", "v1"),
    }
    return Everything(**(given | more))


ASKS = [
    CaptureAsk(Prompt("a\ud800", True, (1, 2)), (SAE,), True),
    MatchAsk(SAE, SAE, (3, 1), 2),
    GenerationAsk(
        Prompt(""),
        (
            Variant("a", (Intervention(LATENT, Op.ADD, 2.0, where=TokenSpan(1)), Intervention(LATENT, Op.ABLATE))),
            Variant("b", (Intervention(NamedVector("v", Site(1, Point.RESID_POST), (0.1, -1e-9)), Op.CLAMP, 1.0),), 3),
        ),
        Sampling(3, 0.7, 0.9, 5),
    ),
    LensAsk(Prompt("a"), LensKind.JACOBIAN, 3, 2, None, "now"),
    DirectionLensAsk(LATENT, LensKind.JACOBIAN),
    KeepLensAsk(pack(LensRecord("m", "c", "", (3,), 63, 16, "float32", {"torch": "2"}, "now"), np.eye(3, dtype=np.float32)[None] * 2)),
    ModelCard(ModelId("a/b"), Path("/x"), "cpu", "float32", 2, 3, 4),
    RunRecord("steer", {"prompt": {"text": "x"}, "n": [1, 2.5, None]}, "m", {"a": "b"}, "cpu", "float32", "0", {}, "now", None),
    LatentActivations(SAE, 3, 9, np.array([0, 2], np.int32), np.array([8, 1], np.int32), np.array([0.1, 3e38], np.float32)),
    MatchTable(SAE, SAE, np.array([4], np.int32), np.array([[1]], np.int32), np.array([[0.1 + 0.2]])),
]


@pytest.mark.parametrize("value", [*ASKS, whole()], ids=lambda value: type(value).__name__)
def test_asks_answers_and_records_read_back_as_they_were(value: Any) -> None:
    assert same(through(type(value), value), value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shape", Circle(0.1)),
        ("maybe", Circle(1.0)),
        ("rows", None),
        ("rows", np.zeros((0, 3), np.float32)),
        ("where", TokenSpan(3, 5)),
        ("number", 0.5),
        ("number", 2.0),
        ("text", 7),
        ("by_pair", {}),
        ("names", ()),
    ],
)
def test_each_member_of_a_union_and_each_empty_thing_reads_back(field: str, value: Any) -> None:
    assert same(through(Everything, whole(**{field: value})), whole(**{field: value}))


@given(st.floats(), st.integers(), st.text(), st.sampled_from(["int8", "uint16", "int64", "float16", "float64", "bool", ">f4"]))
def test_numbers_texts_and_arrays_of_every_type_keep_their_bits(number: float, count: int, text: str, dtype: str) -> None:
    assert same(through(Circle, Circle(number)), Circle(number))
    assert through(tuple[int, str], (count, text)) == (count, text)
    array = np.arange(6).astype(dtype).reshape(2, 3)[:, ::2]
    read = through(np.ndarray, array)
    assert read.dtype == array.dtype and read.shape == array.shape and (read == array).all() and read.flags.writeable


def test_a_union_of_classes_is_how_any_ask_travels() -> None:
    any_ask = CaptureAsk | MatchAsk
    for ask in ASKS[:2]:
        assert through(any_ask, ask) == ask and to_plain(ask, any_ask)["class"] == type(ask).__name__
    with pytest.raises(ValueError, match="'Other' is none of CaptureAsk, MatchAsk"):
        from_plain(any_ask, {"class": "Other"})


def test_plain_data_of_what_is_kept_has_no_tags() -> None:
    plain = to_plain(Intervention(LATENT, Op.ADD, 1.0, where=TokenSpan(1)))
    assert plain == {"direction": str(LATENT), "op": "add", "amount": 1.0, "unit": "raw", "where": {"start": 1, "end": None}}
    assert to_plain({"a": (Site(1, Point.EMBED), math.nan, np.float32(0.5))}) == {"a": ["1.embed", "nan", 0.5]}


def test_equal_values_are_equal_plain_data() -> None:
    assert json.dumps(to_plain(Circle(1))) == json.dumps(to_plain(Circle(1.0)))
    assert to_plain(frozenset({Colour.RED, Colour.BLUE})) == to_plain(frozenset({Colour.BLUE, Colour.RED}))


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (Circle, {}),
        (Circle, {"radius": "big"}),
        (Circle, {"radius": True}),
        (Circle, {"radius": 1.0, "colour": "red"}),
        (Circle, [1.0]),
        (tuple[int, str], [1]),
        (tuple[int, ...], [1.5]),
        (tuple[int, ...], "12"),
        (Colour, "green"),
        (bytes, "#"),
        (int | None, "x"),
        (object.__class__, 1),
    ],
)
def test_what_is_of_another_form_is_refused(kind: Any, plain: Any) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        from_plain(kind, plain)


def test_a_refused_name_or_ask_says_so_itself() -> None:
    with pytest.raises(BadName):
        from_plain(LatentId, "nonsense")
    with pytest.raises(BadAsk):
        from_plain(Sampling, {"max_new_tokens": 0, "temperature": 0.0, "top_p": 1.0, "seed": 0})
    assert issubclass(BadName, AnalysisError)


def test_what_could_not_be_read_back_is_not_written() -> None:
    for value in (object(), len, np.array(["a"]), Circle):
        with pytest.raises(TypeError):
            to_plain(value)
    with pytest.raises(TypeError, match="Circle stands where Square"):
        to_plain(Circle(1.0), Square)


def test_an_int32_array_of_an_annotation_reads_back_writable() -> None:
    read = through(Int32[np.ndarray, " n"], np.arange(3, dtype=np.int32))
    read[0] = 5
    assert read.tolist() == [5, 1, 2]
