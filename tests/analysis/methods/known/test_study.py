"""Laws of the study of known and unknown entities, end to end on the tiny model."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.entities.tables import EntityTable
from dashboard.analysis.errors import BadAsk, UnknownKind, UnknownResult, UnknownSae
from dashboard.analysis.methods.known import asking as knowledge
from dashboard.analysis.methods.known import entity_reading as reading
from dashboard.analysis.methods.known import study
from dashboard.analysis.methods.known.plan import kept_plan
from dashboard.analysis.methods.known.results import KnownUnknownStudy, Overrule, StudyAsk, StudySettings, read_ask, settings_of, type_ask
from dashboard.analysis.methods.known.statistics.entity_counts import LABELS, SPLITS, Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge, KnowledgeRule, LabelWay
from dashboard.analysis.methods.known.study_entities import STUDY, EntitiesAsk, ask_of, study_of
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.studies import study as studies
from dashboard.analysis.studies.bundle import command_of
from dashboard.analysis.studies.record import key_of, make_record
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.tokens import Prompt
from tests.analysis.methods.known.studying import (
    ANSWERED,
    QUICK,
    SMALL_BLOCKS,
    Counting,
    asked,
    bench_of,
    corpus,
    kind_of,
    made,
    names,
    table_of,
)
from tests.conftest import EXACT

WORDS = ("famous", "known", "obscure", "invented")


@pytest.fixture
def tables(tmp_path: Path) -> tuple[EntityTable, ...]:
    kinds = [kind_of(tmp_path / "types", name) for name in ("town", "bird")]
    return tuple(table_of(kind, [(name, WORDS[i % 4]) for i, name in enumerate(names(60, seed))]) for seed, kind in enumerate(kinds))


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def run(runner, tables, store, saes, settings: StudySettings = QUICK) -> KnownUnknownStudy:
    return made(runner, tables, store, saes, settings)


def same(one: KnownUnknownStudy, other: KnownUnknownStudy) -> None:
    """Two studies agree in every number."""
    assert one.entities == other.entities and one.types == other.types and one.notes == other.notes
    assert (one.counts.n == other.counts.n).all() and (one.counts.fires == other.counts.fires).all()
    assert (one.noise.fires == other.noise.fires).all() and one.noise.n == other.noise.n
    assert (one.known, one.unknown, one.curves, one.baselines) == (other.known, other.unknown, other.curves, other.baselines)
    assert one.norms == other.norms
    assert (one.significance.p == other.significance.p).all() and (one.significance.q_known == other.significance.q_known).all()
    assert all((a.null == b.null).all() and a.p == b.p for a, b in zip(one.nulls, other.nulls, strict=True))


def test_counts_equal_one_capture_an_entity_and_add_up(runner: LocalRunner, tables, store, site_saes) -> None:
    found = run(runner, tables, store, site_saes)
    fires = np.zeros_like(found.counts.fires)
    n = np.zeros_like(found.counts.n)
    third = [LatentId(sae, 3) for sae in site_saes]
    activations = {one.latent.sae: one.values for one in study.activations(store, found, third)}
    for place, entity in enumerate(found.entities):
        prompt = Prompt(entity.text[: entity.end])
        capture = runner.ask(CaptureAsk(prompt, site_saes))
        cell = (found.counts.kinds.index(entity.kind), LABELS.index(entity.label.knowledge), SPLITS.index(entity.split))
        n[cell] += 1
        for sae in site_saes:
            at_name = capture.activations[sae].at_position(len(capture.tokens.ids) - 1)
            fires[cell][[found.columns.column(LatentId(sae, latent)) for latent, _ in at_name]] += 1
            assert activations[sae][place] == pytest.approx(dict(at_name).get(3, 0.0), rel=1e-4, abs=1e-6)
    assert (n == found.counts.n).all() and (fires == found.counts.fires).all()
    assert n.sum() == len(found.entities) == 120
    for one in found.types:
        assert (one.tally.n_known, one.tally.n_unknown, one.tally.n_aside) == (30, 30, 0)
        assert sum(size.n_known for size in one.splits) == 30 and sum(size.n_unknown for size in one.splits) == 30


def test_a_planted_latent_is_chosen_on_train_and_holds_on_test(runner: LocalRunner, tmp_path: Path, store) -> None:
    kinds = [kind_of(tmp_path / "types", name) for name in ("town", "bird")]
    blank = [table_of(kind, [(name, "known") for name in names(150, seed)]) for seed, kind in enumerate(kinds)]
    read = run(runner, blank, store, (EXACT,))
    share = read.counts.fires.sum((1, 2)) / 150
    planted = LatentId(EXACT, int(np.argmin(np.abs(share - 0.5).max(0))))
    fires = study.activations(store, read, [planted])[0].values > 0
    labelled = []
    for number, kind in enumerate(kinds):
        own = [(one.name, "famous" if on else "obscure") for one, on in zip(read.entities, fires, strict=True) if one.kind == kind.name]
        labelled.append(table_of(kind, own))
        assert 0.1 < share[number, planted.index] < 0.9
    found = run(runner, labelled, store, (EXACT,))
    assert found.known[0].latent == planted and found.known[0].train == found.known[0].test == 1.0
    assert all(pair.known.k == pair.known.n > 10 and pair.unknown.k == 0 for pair in found.known[0].pairs)
    null = next(one for one in found.nulls if one.kind is None and one.side is Knowledge.KNOWN)
    assert null.p == pytest.approx(1 / 51) and found.columns.latent(null.column) == planted
    assert found.significance.q_known[found.known[0].column] < 1e-6
    assert all(one.comparison.n_at_least == 0 for one in found.baselines if one.side is Knowledge.KNOWN)
    opposite = LatentId(EXACT, (planted.index + 32) % 64)  # the same axis the other way round fires where this one does not
    assert found.unknown[0].latent == opposite and found.unknown[0].test == 1.0


def test_labels_of_test_entities_do_not_change_what_is_chosen(runner: LocalRunner, tables, store, site_saes) -> None:
    first = run(runner, tables, store, site_saes)
    swapped = []
    for table in tables:
        split = {one.name: one.split for one in first.entities if one.kind == table.kind.name}
        rows = [
            (one.name, {"famous": "obscure", "known": "invented", "obscure": "known", "invented": "famous"}[one.familiarity or ""])
            if split[one.name] is Split.TEST
            else (one.name, one.familiarity or "")
            for one in table.entities
        ]
        swapped.append(table_of(table.kind, rows))
    second = run(runner, swapped, store, site_saes)
    assert [one.latent for one in first.known + first.unknown] == [one.latent for one in second.known + second.unknown]
    assert [one.train for one in first.known] == [one.train for one in second.known]
    for a, b in zip(first.known[0].pairs, second.known[0].pairs, strict=True):
        assert (a.known, a.unknown) == (b.unknown, b.known)


def test_an_entity_is_in_one_split_and_stays_there_among_others(runner: LocalRunner, tables, store, site_saes) -> None:
    whole = run(runner, tables, store, site_saes)
    part = run(runner, tables[:1], store, site_saes[:1], replace(QUICK, most_entities=20))
    split = {(one.kind, one.name): one.split for one in whole.entities}
    assert len(split) == len(whole.entities) and len({*split.values()}) == 3
    assert len(part.entities) == 20 and all(split[one.kind, one.name] is one.split for one in part.entities)
    assert {word: [one.familiarity for one in part.entities].count(word) for word in WORDS} == dict.fromkeys(WORDS, 5)


@pytest.mark.parametrize("settings", [QUICK, ANSWERED, replace(ANSWERED, way=LabelWay.CHOICES)])
def test_killed_at_any_point_and_resumed_equals_straight(runner, tables, tmp_path, site_saes, monkeypatch, settings) -> None:
    monkeypatch.setattr(reading, "BLOCK", 50)
    monkeypatch.setattr(reading, "NOISE_BLOCK", 9)
    monkeypatch.setattr(knowledge, "BLOCK", 9)
    straight = Counting(runner)
    expected = run(straight, tables, ResultStore(tmp_path / "straight"), site_saes, settings)
    n_asks = sum(straight.asked.values())
    resumed = ResultStore(tmp_path / "resumed")
    for lives in range(1, n_asks):  # every life dies at its second question to the model, describing aside
        broken = Counting(runner, breaks_after=5)
        try:
            found = run(broken, tables, resumed, site_saes, settings)
        except KeyboardInterrupt:
            continue
        assert lives > 2
        same(found, expected)
        break
    else:
        pytest.fail("never done")


def test_a_process_that_is_killed_half_way_leaves_what_the_next_one_goes_on_from(
    runner: LocalRunner, tables, tmp_path, site_saes, tiny_path: Path, tiny_release: Path, monkeypatch
) -> None:
    for (module, name), size in zip(((reading, "BLOCK"), (reading, "NOISE_BLOCK"), (knowledge, "BLOCK")), SMALL_BLOCKS, strict=True):
        monkeypatch.setattr(module, name, size)
    own = sorted(tables, key=lambda table: table.kind.name)
    straight = Counting(runner)
    expected = run(straight, own, ResultStore(tmp_path / "straight"), site_saes, ANSWERED)
    folders = (tiny_path, tiny_release, tmp_path / "cache", own[0].kind.file.parent, tmp_path / "killed")
    command = [sys.executable, "-m", "tests.analysis.methods.known.dying_study", *map(str, folders)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[4]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) > 500:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    store = ResultStore(tmp_path / "killed")
    assert not store.keys(study.KIND) and [*(tmp_path / "killed").rglob("00000.*")]
    resumed = Counting(runner)
    same(run(resumed, own, store, site_saes, ANSWERED), expected)
    assert 0 < sum(resumed.asked.values()) < sum(straight.asked.values())


def test_the_same_ask_twice_asks_the_model_nothing(runner: LocalRunner, tables, store, site_saes) -> None:
    first = run(runner, tables, store, site_saes)
    counting = Counting(runner)
    second = run(counting, tables, store, site_saes)
    assert {*counting.asked} <= {"describe"} and second.key == first.key
    same(first, second)
    bench = bench_of(runner, store, tables[0].kind.file.parent)
    kept, other = (studies.find(STUDY, bench, asked(tables, saes, QUICK)) for saes in (site_saes, site_saes[:1]))
    assert kept is not None and kept.key == first.key and other is None
    assert [head.key for head in study.list_studies(store)] == [first.key]
    assert read_ask(first.record.ask) == first.ask


def test_other_thresholds_take_up_the_readings_and_answers_there_are(runner: LocalRunner, tables, store, site_saes) -> None:
    run(runner, tables, store, site_saes, ANSWERED)
    counting = Counting(runner)
    other = run(counting, tables, store, site_saes, replace(ANSWERED, rule=KnowledgeRule(2, 2, 1), n_shuffles=60))
    assert {*counting.asked} <= {"describe"}
    assert all(len(one.null) == 60 for one in other.nulls)


def test_texts_that_are_the_same_are_read_once(runner: LocalRunner, tmp_path: Path, store, site_saes) -> None:
    kinds = [kind_of(tmp_path / "types", name, word="thing") for name in ("town", "bird")]
    rows = [(name, WORDS[i % 4]) for i, name in enumerate(names(40))]
    counting = Counting(runner)
    found = run(counting, [table_of(kind, rows) for kind in kinds], store, site_saes)
    assert len(counting.texts) == len({*counting.texts}) == 40 and len(found.entities) == 80
    town, bird = (found.counts.fires[place].sum((0, 1)) for place in range(2))
    assert (town == bird).all() and town.any()


def test_an_overruled_grade_changes_labels_without_the_model_and_can_be_taken_back(runner, tables, store, site_saes) -> None:
    before = run(runner, tables, store, site_saes, ANSWERED)
    answers = [*study.read_answers(store, before)]
    assert len(answers) == sum(3 * 2 for one in before.entities if one.familiarity != "invented")
    assert all(one.label.knowledge is Knowledge.UNKNOWN for one in before.entities if one.familiarity == "invented")
    wrong = next(one for one in answers if one.sample == 0 and one.verdict is not Verdict.CORRECT)
    place = (wrong.kind, wrong.name, wrong.attribute, wrong.sample)

    def label(found: KnownUnknownStudy):
        return next(one.label for one in found.entities if (one.kind, one.name) == place[:2])

    assert label(before).n_right == 0
    after = study.overrule(store, before.key, Overrule(*place, Verdict.CORRECT))
    assert (label(after).n_right, label(after).knowledge, after.n_overruled) == (1, Knowledge.KNOWN, 1)
    assert after.counts.n.sum() == before.counts.n.sum() and (after.counts.fires.sum((1, 2)) == before.counts.fires.sum((1, 2))).all()
    judged = next(one for one in study.read_answers(store, after, wrong.kind) if (one.name, one.attribute, one.sample) == place[1:])
    assert judged.is_overruled and judged.graded is wrong.graded
    same(study.overrule(store, before.key, Overrule(*place, None)), before)
    with pytest.raises(BadAsk, match="no answer 7 to home"):
        study.overrule(store, before.key, Overrule(wrong.kind, wrong.name, "home", 7, Verdict.CORRECT))


def test_a_study_is_read_after_its_files_are_gone(runner: LocalRunner, tables, store, site_saes) -> None:
    first = run(runner, tables, store, site_saes, ANSWERED)
    for table in tables:
        table.kind.file.unlink()
    study._scored.cache_clear()
    kept_plan.cache_clear()
    same(study.load_study(store, first.key), first)
    with pytest.raises(UnknownResult):
        study.load_study(store, "0" * 16)


def test_files_that_change_after_a_study_was_asked_for_are_not_taken_for_those_that_were(runner, tables, store, site_saes) -> None:
    bench, ask = bench_of(runner, store, tables[0].kind.file.parent), asked(tables, site_saes, QUICK)
    steps = STUDY.steps(bench.at(store.folder(study.KIND, STUDY.key(bench, ask)) / "blocks"), ask)
    table_of(tables[0].kind, [(name, "famous") for name in names(30, 7)])
    with pytest.raises(BadAsk, match="town, bird have changed"):
        next(steps)
    with pytest.raises(UnknownKind, match="planet"):
        STUDY.key(bench, replace(ask, types=("planet",)))
    with pytest.raises(UnknownSae, match="nothing"):
        STUDY.key(bench, replace(ask, sae=("nothing/*",)))


def test_an_ask_is_told_by_its_options_and_made_again_from_what_is_kept(runner, tables, store, site_saes) -> None:
    found = run(runner, tables, store, site_saes, ANSWERED)
    again = ask_of([one.name for one in found.ask.types], found.ask.saes, found.ask.settings)
    assert STUDY.key(bench_of(runner, store, tables[0].kind.file.parent), again) == found.key
    for preview in (False, True):
        plain = settings_of(preview, way=LabelWay.CHOICES, n_shuffles=7, most_entities=9)
        said = ask_of(("town",), site_saes, plain)
        assert said.settings == plain and type(said) is EntitiesAsk and said.preview is preview
        words = command_of(STUDY, said).words
        assert {"--labels=choices", "--shuffles=7", "--most=9", f"--sae={site_saes[0]}"} <= {*words} and ("--preview" in words) is preview


def test_an_engine_gives_the_same_study_and_a_cancelled_one_goes_on(
    runner: LocalRunner, engine: Engine, tables, tmp_path, site_saes
) -> None:
    expected = run(runner, tables, ResultStore(tmp_path / "local"), site_saes, ANSWERED)
    store = ResultStore(tmp_path / "engine")
    ask, types = asked(tables, site_saes, ANSWERED), tables[0].kind.file.parent
    stopped, going = StudyRunner(engine), bench_of(StudyRunner(engine), store, types, catalog=runner.catalog)
    steps = studies.run(STUDY, bench_of(stopped, store, types, catalog=runner.catalog), ask)
    for _ in range(3):
        next(steps)
    stopped.stop()
    steps.close()
    *_, last = studies.run(STUDY, going, ask)
    assert last.made is not None
    same(study_of(last.made), expected)
    assert [step.words for step in studies.run(STUDY, going, ask)] == ["found in the store"]


def test_a_type_with_one_side_only_is_told_and_scores_nothing(runner: LocalRunner, tmp_path: Path, store, site_saes) -> None:
    table = table_of(kind_of(tmp_path / "types", "town"), [(name, "famous") for name in names(30)])
    found = run(runner, [table], store, site_saes)
    assert not found.known and not found.curves and not found.nulls
    assert any("30 known and 0 unknown" in note for note in found.notes)


def test_the_order_in_which_saes_are_named_changes_no_latents_figures(runner: LocalRunner, tables, store, site_saes) -> None:
    one = run(runner, tables, store, site_saes)
    assert run(runner, tables, store, tuple(reversed(site_saes))).key == one.key  # they are taken in the order of the catalogue
    turned = Catalog(tuple(reversed(runner.catalog.specs)))
    other = made(runner, tables, store, site_saes, QUICK, turned)
    assert one.key != other.key and other.ask.saes == tuple(reversed(one.ask.saes))
    for sae in site_saes:
        here, there = one.columns.block(sae), other.columns.block(sae)
        assert (one.counts.fires[..., here] == other.counts.fires[..., there]).all(), sae
        assert (one.noise.fires[here] == other.noise.fires[there]).all(), sae
    latent = LatentId(site_saes[0], 3)
    (here,), (there,) = (study.activations(store, found, (latent,)) for found in (one, other))
    assert (here.values == there.values).all() and here.values.any()


def _catalog(n: int, d_in: int, n_latents: int) -> Catalog:
    def spec(release: str, name: str) -> SaeSpec:
        return SaeSpec(SaeId(release, name), None, Site.parse(name), d_in, n_latents, "jumprelu", Path(name), {}, {})

    own = [spec("wide", f"{layer}.{point}") for layer in range(n) for point in ("mlp_out", "resid_post")]
    return Catalog((*own, *(spec("other", f"{layer}.resid_post") for layer in range(n))))


def test_a_preview_reads_all_small_residual_saes_of_one_release_and_a_few_large_ones_evenly_spaced() -> None:
    small, large = _catalog(12, 576, 2048), _catalog(26, 2304, 16384)
    assert study.preview_saes(small) == study.residual_saes(small) == tuple(SaeId("wide", f"{layer}.resid_post") for layer in range(12))
    assert [sae.name for sae in study.preview_saes(large)] == [f"{layer}.resid_post" for layer in (3, 9, 16, 22)]
    assert len(study.residual_saes(large)) == 26
    with pytest.raises(BadAsk, match="0 SAEs"):
        study.preview_saes(Catalog(()))


def test_types_of_one_word_share_readings_and_splits_and_the_study_says_so(runner: LocalRunner, tmp_path: Path, store, site_saes) -> None:
    kinds = [kind_of(tmp_path / "types", name, word="thing") for name in ("town", "bird")]
    shared = names(40)
    tables = [
        table_of(kinds[0], [(name, WORDS[i % 4]) for i, name in enumerate([*shared, *names(20, 1)])]),
        table_of(kinds[1], [(name, WORDS[(i + 2) % 4]) for i, name in enumerate([*shared, *(name.upper() for name in names(20, 1))])]),
    ]
    counting = Counting(runner)
    found = run(counting, tables, store, site_saes)
    assert len(counting.texts) == len({*counting.texts}) == 80 and len(found.entities) == 120
    splits: dict[str, set[Split]] = {}
    for one in found.entities:
        splits.setdefault(one.name.lower(), set()).add(one.split)
    assert len(splits) == 60 and all(len(each) == 1 for each in splits.values()) and len(set.union(*splits.values())) == 3
    assert any("40 names stand in two types" in note for note in found.notes)


def test_what_is_kept_has_the_key_and_the_form_by_which_studies_of_before_are_found(runner, tables, store, site_saes) -> None:
    found = run(runner, tables, store, site_saes)
    plain = StudyAsk(tuple(type_ask(table) for table in tables), found.ask.saes, QUICK, corpus().sha256).plain_data()
    assert plain["schema"] == 2 and found.record.ask == plain
    assert found.key == key_of(make_record("known-unknown", plain, runner.describe(), runner.catalog, site_saes, None))
    _, kept = store.load("known-unknown", found.key)
    assert {*kept} == {"steps", "columns", "n_entities"} and {*kept["steps"]} == {"noise", "reading"} and kept["n_entities"] == 120
    assert kept["columns"][0] == {"sae": str(found.ask.saes[0]), "site": str(found.columns.sites[0]), "n_latents": 64}
