"""Laws of splits and counts: one split an entity, whole numbers that add up, killed and resumed = straight."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.errors import BadAsk, RunMismatch, UnknownLatent
from dashboard.analysis.methods.known.statistics.entity_counts import (
    LABELS,
    SPLITS,
    Columns,
    Counts,
    EntityCounter,
    Firing,
    Roster,
    Split,
    count,
    firing,
    roster,
    split_of,
    stacked,
)
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.names import LatentId, SaeId, Site

SAES = (SaeId("hand", "1"), SaeId("hand", "2"))
COLUMNS = Columns(SAES, (Site.parse("1.resid_post"), Site.parse("2.resid_post")), (30, 50))


def members(n: int, kinds: tuple[str, ...] = ("city", "song")) -> list[tuple[str, str, Knowledge]]:
    return [(kinds[i % len(kinds)], f"name {i}", LABELS[(i // 2) % 3]) for i in range(n)]


def noise(n_rows: int, seed: int = 0) -> dict[SaeId, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {sae: generator.random((n_rows, width)) < 0.1 for sae, width in zip(SAES, COLUMNS.widths, strict=True)}


def sparse_of(dense: dict[SaeId, np.ndarray]) -> Firing:
    n_rows = len(next(iter(dense.values())))
    return firing(COLUMNS, n_rows, {sae: tuple(np.nonzero(values)) for sae, values in dense.items()})


def same(one: Counts, other: Counts) -> bool:
    return np.array_equal(one.n, other.n) and np.array_equal(one.fires, other.fires)


def test_no_entity_is_in_two_splits_whatever_its_label_order_or_company() -> None:
    entities = members(600)
    straight = {(one.kind, one.name): one.split for one in roster(entities, 42).members}
    turned = {(one.kind, one.name): one.split for one in roster(entities[::-1], 42).members}
    relabelled = roster([(kind, name, Knowledge.KNOWN) for kind, name, _ in entities[100:]], 42).members
    assert straight == turned and len(straight) == 600
    assert all(straight[one.kind, one.name] is one.split for one in relabelled)


def test_a_name_spelt_in_capitals_or_with_spaces_around_stays_in_its_split() -> None:
    for i in range(200):
        assert split_of(1, f"São Tomé {i}") is split_of(1, f"  SÃO tomé  {i} ")


def test_the_splits_have_half_a_tenth_and_four_tenths() -> None:
    found = Counter(split_of(42, f"city {i}") for i in range(20_000))
    assert [found[split] / 20_000 for split in SPLITS] == pytest.approx([0.5, 0.1, 0.4], abs=0.012)
    assert {split_of(3, str(i), (0.0, 0.0, 1.0)) for i in range(50)} == {Split.TEST}


def test_another_seed_splits_anew() -> None:
    assert [split_of(1, str(i)) for i in range(300)] != [split_of(2, str(i)) for i in range(300)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Beyoncé", "BEYONCE"),
        ("The Beatles", "Beatles"),
        ("John Lennon", "Lennon, John"),
        ("Xi'an", "Xi’an"),
        ("Xi'an", "Xian"),
        ("Jean-Luc Godard", "Jean Luc Godard"),
        ("Żółć", "Zolc"),
        ("Who?", "who"),
        ("???", " ??? "),
        ("ＦＢＩ", "FBI"),
    ],
)
def test_two_spellings_of_a_name_and_a_name_of_two_types_are_in_one_split(one: str, other: str) -> None:
    assert all(split_of(seed, one) is split_of(seed, other) for seed in range(60))
    both = roster([("song", one, Knowledge.KNOWN), ("city", one, Knowledge.UNKNOWN), ("film", other, Knowledge.UNKNOWN)], 5).members
    assert len(both) == 3 and len({member.split for member in both}) == 1


def test_names_that_are_not_the_same_are_split_apart() -> None:
    for one, other in (("Rome", "Rom"), ("A", "B"), ("12", "21"), ("東京", "京都"), ("!", "?")):
        assert any(split_of(seed, one) is not split_of(seed, other) for seed in range(60)), (one, other)


def test_an_entity_that_comes_twice_is_taken_once_and_never_with_two_labels() -> None:
    twice = [("city", "Rome", Knowledge.KNOWN), ("song", "Rome", Knowledge.UNKNOWN), ("city", "Rome", Knowledge.KNOWN)]
    assert len(roster(twice, 0).members) == 2
    with pytest.raises(BadAsk, match="'Rome' is labelled both known and unknown"):
        roster([*twice, ("city", "Rome", Knowledge.UNKNOWN)], 0)
    with pytest.raises(BadAsk, match="shares"):
        roster(twice, 0, (0.5, 0.1, 0.1))


def test_columns_and_latents_name_each_other() -> None:
    assert [COLUMNS.column(COLUMNS.latent(i)) for i in range(COLUMNS.n)] == list(range(80))
    assert COLUMNS.latent(30) == LatentId(SAES[1], 0) and COLUMNS.block(SAES[1]) == slice(30, 80)
    with pytest.raises(UnknownLatent):
        COLUMNS.column(LatentId(SAES[0], 30))
    with pytest.raises(BadAsk):
        COLUMNS.column(LatentId(SaeId("other", "1"), 0))


def test_counts_are_what_counting_by_hand_gives() -> None:
    everyone, dense = roster(members(200), 42), noise(200)
    found = count(everyone, COLUMNS, sparse_of(dense))
    joined = np.concatenate([dense[sae] for sae in SAES], axis=1)
    for i, kind in enumerate(found.kinds):
        for j, label in enumerate(LABELS):
            for k, split in enumerate(SPLITS):
                rows = [r for r, one in enumerate(everyone.members) if (one.kind, one.knowledge, one.split) == (kind, label, split)]
                assert found.n[i, j, k] == len(rows)
                assert np.array_equal(found.fires[i, j, k], joined[rows].sum(0))
                share = found.share(kind, label, 17, split)
                assert (share.k, share.n) == (joined[rows, 17].sum(), len(rows))


def test_counts_are_integers_and_add_up() -> None:
    everyone, dense = roster(members(200), 42), noise(200)
    found = count(everyone, COLUMNS, sparse_of(dense))
    assert found.fires.dtype.kind == "i" and found.n.dtype.kind == "i"
    assert found.n.sum() == 200 and found.fires.sum() == sum(values.sum() for values in dense.values())
    assert (found.fires <= found.n[..., None]).all() and (found.fires >= 0).all()
    for label in LABELS:
        assert np.array_equal(found.fires_of(label), sum(found.fires_of(label, split) for split in SPLITS))
        assert np.array_equal(found.n_of(label), sum(found.n_of(label, split) for split in SPLITS))


def test_a_latent_counts_once_an_entity() -> None:
    once = firing(COLUMNS, 2, {SAES[0]: (np.array([1, 1, 1]), np.array([5, 5, 2]))})
    assert once.column.tolist() == [2, 5] and once.start.tolist() == [0, 0, 2]
    assert once.of_column(5).tolist() == [False, True]
    with pytest.raises(BadAsk, match="outside"):
        firing(COLUMNS, 2, {SAES[0]: (np.array([0]), np.array([30]))})


def test_killed_and_resumed_is_the_same_as_straight(tmp_path: Path) -> None:
    everyone, whole = roster(members(97), 42), sparse_of(noise(97))
    straight = count(everyone, COLUMNS, whole)
    counter = EntityCounter(everyone, COLUMNS)
    while counter.n_read < 97:
        counter.add(whole.rows(np.arange(counter.n_read, min(counter.n_read + 10, 97))))
        np.savez(tmp_path / "state.npz", **counter.state())
        counter = EntityCounter(everyone, COLUMNS)
        with np.load(tmp_path / "state.npz") as state:
            counter.restore(state)
    assert same(counter.counts(), straight)


def test_nothing_is_counted_twice_or_for_other_entities() -> None:
    everyone, whole = roster(members(20), 42), sparse_of(noise(20))
    counter = EntityCounter(everyone, COLUMNS)
    counter.add(whole)
    with pytest.raises(BadAsk, match="came after 20"):
        counter.add(whole.rows(np.arange(1)))
    for other in (roster(members(20), 43), roster(members(21), 42), Roster(everyone.members[::-1])):
        with pytest.raises(RunMismatch):
            EntityCounter(other, COLUMNS).restore(counter.state())


def test_counts_of_two_halves_add_to_the_whole_and_earlier_ones_stay_as_they_were() -> None:
    everyone, whole = roster(members(60), 42), sparse_of(noise(60))
    counter = EntityCounter(everyone, COLUMNS)
    counter.add(whole.rows(np.arange(25)))
    half = counter.counts()
    before = half.fires.copy()
    counter.add(whole.rows(np.arange(25, 60)))
    assert np.array_equal(half.fires, before)
    rest = Counts(half.kinds, COLUMNS, counter.counts().n - half.n, counter.counts().fires - half.fires)
    assert same(half + rest, count(everyone, COLUMNS, whole))
    with pytest.raises(BadAsk):
        half + Counts(("city", "player"), COLUMNS, half.n, half.fires)


def test_rows_taken_apart_and_stacked_are_the_same() -> None:
    whole = sparse_of(noise(30))
    parts = [whole.rows(np.arange(0, 7)), whole.rows(np.arange(7, 7)), whole.rows(np.arange(7, 30))]
    again = stacked(parts)
    assert np.array_equal(again.start, whole.start) and np.array_equal(again.column, whole.column)
    turned = whole.rows(np.arange(30)[::-1])
    assert np.array_equal(turned.matrix().toarray(), whole.matrix().toarray()[::-1])


def test_the_roster_finds_the_labelled_rows_of_a_split() -> None:
    everyone = roster(members(100), 42)
    rows = everyone.where(Split.TEST, ("song",))
    chosen = [everyone.members[i] for i in rows]
    assert chosen and all(one.split is Split.TEST and one.kind == "song" and one.knowledge is not Knowledge.ASIDE for one in chosen)
    assert len(everyone.where()) == sum(one.knowledge is not Knowledge.ASIDE for one in everyone.members)
