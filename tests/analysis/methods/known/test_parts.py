"""Laws of causality, uncertainty and the bundle of a study, on the tiny model."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from dashboard.analysis.asks.edits import Op, Unit
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.many_texts import AnsweringAsk, AttentionAsk, MarkedText, Part, PartEdit
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.methods.known import causality as parts
from dashboard.analysis.methods.known import study, study_causality, study_uncertainty
from dashboard.analysis.methods.known import wrong_answers as uncertainty
from dashboard.analysis.methods.known.effects import AmountTrial, CausalitySettings, Condition, Generation, UncertaintySettings
from dashboard.analysis.methods.known.entities import kept_tables, take
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.trials import questions
from dashboard.analysis.methods.known.tuning import best_amount
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import run
from tests.analysis.methods.known import studying
from tests.analysis.methods.known.studying import QUICK, Counting, kept, kind_of, names, table_of

TRY = CausalitySettings(n_questions=3, n_random=2, new_tokens=4, amount=2.0, attention_amount=2.0)
WORDS = ("famous", "known", "obscure", "invented")


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


@pytest.fixture
def made(runner: LocalRunner, tmp_path: Path, store, site_saes) -> KnownUnknownStudy:
    kinds = [kind_of(tmp_path / "types", name) for name in ("town", "bird")]
    tables = [table_of(kind, [(name, WORDS[i % 4]) for i, name in enumerate(names(60, seed))]) for seed, kind in enumerate(kinds)]
    return studying.made(runner, tables, store, site_saes, QUICK)


def tried(runner, store, made, settings=TRY):
    return parts.load_causality(store, ran(study_causality.STUDY, runner, store, study_causality.ask_of(made.key, settings)))


def ran(study, runner, store, ask) -> str:
    """The key of what is made, or found."""
    *_, last = run(study, Bench(runner, runner.catalog, store), ask)
    return last.made.key


def test_every_condition_answers_the_same_test_questions_and_rates_count_them(runner: LocalRunner, store, made) -> None:
    found = tried(runner, store, made)
    test = {(one.kind, one.name): one.label.knowledge for one in made.entities if one.split is Split.TEST}
    per_latent: dict[tuple[Condition, str | None], list[Generation]] = {}
    for one in found.generations:
        per_latent.setdefault((one.condition, one.latent), []).append(one)
        assert test[one.kind, one.name] is one.knowledge
    questions = [[(one.kind, one.name, one.attribute) for one in answers] for answers in per_latent.values()]
    assert all(asked == questions[0] for asked in questions) and len(questions[0]) == 12 and len(questions) == 6
    for rate in found.rates:
        own = [
            one.verdict
            for one in found.generations
            if (one.kind, one.knowledge, one.condition) == (rate.kind, rate.knowledge, rate.condition)
        ]
        assert rate.refused.k == own.count(Verdict.REFUSAL) and rate.hallucinated.k == own.count(Verdict.ERROR)
        assert rate.refused.n == rate.hallucinated.n == len(own) == (6 if rate.condition is Condition.RANDOM else 3)
        assert sum(n for *_, n in rate.of_latents) == (6 if rate.condition is Condition.RANDOM else 0)
    chosen = {one.latent for one in made.known + made.unknown}
    assert found.known == made.known[0].latent and found.unknown == made.unknown[0].latent and not chosen & {*found.random}


def test_an_attribute_without_a_right_answer_is_not_asked_unless_there_is_no_other(runner: LocalRunner, tmp_path, store, site_saes) -> None:
    kind = kind_of(tmp_path / "types", "town")
    rows = [f"{name},{'famous' if i % 2 else 'invented'},{'Home' if i % 2 else ''}," for i, name in enumerate(names(60))]
    tables = [kept(kind, ["name,familiarity,home,age", *rows])]
    found = studying.made(runner, tables, store, site_saes, QUICK)
    asked = list(questions(found, take(tables, QUICK), TRY, Split.TEST, 3))
    known = [one for one in asked if one.knowledge is Knowledge.KNOWN]
    assert len(known) == 3 and all(one.attribute.name == "home" and one.right == ("Home",) for one in known)
    assert {one.attribute.name for one in asked if one.knowledge is Knowledge.UNKNOWN} == {"home", "age"}


def test_answers_are_those_of_the_model_with_the_latent_added_and_the_shared_model_stays(runner: LocalRunner, store, made) -> None:
    found = tried(runner, store, made)
    for condition, latent in ((Condition.ORIGINAL, None), (Condition.KNOWN, found.known)):
        own = [one for one in found.generations if one.condition is condition]
        prompts = []
        for one in own:
            start = one.prompt.index(one.name)
            prompts.append(MarkedText(one.prompt, (start, start + len(one.name)), chat=True))
        edits = (PartEdit(latent, Op.ADD, 2.0, Unit.NORM, Part.MARKED_LAST_ON),) if latent else ()
        texts = {answer.prompt: answer.text for answer in runner.stream(AnsweringAsk(tuple(prompts), Sampling(4), edits=edits))}
        assert [texts[place] for place in range(len(own))] == [one.text for one in own]
    assert all(share == pytest.approx(2.0, rel=1e-3) for _, share in found.doses)


def test_attention_and_self_report_are_recomputed_from_the_runner(runner: LocalRunner, store, made) -> None:
    found = tried(runner, store, made)
    assert {one.condition for one in found.self_reports} == {Condition.ORIGINAL, Condition.KNOWN, Condition.UNKNOWN, Condition.RANDOM}
    for test in found.attention:
        layer = made.columns.sites[made.columns.saes.index(test.latent.sae)].layer
        assert {head.layer for head in test.heads} == set(range(layer + 1, 4)) and test.n_prompts == 6 and len(test.p) == 2
        asked = [one for one in found.generations if one.condition is Condition.ORIGINAL and one.knowledge is not test.side]
        texts = []
        for one in asked:
            before = f"The {one.kind} "
            relation = {"home": "lives in", "age": "is aged"}[one.attribute]
            texts.append(MarkedText(f"{before}{one.name} {relation}", (len(before), len(before) + len(one.name))))
        weights = [
            np.concatenate([chunk.weights[np.argsort(chunk.texts)] for chunk in runner.stream(AttentionAsk(tuple(texts), edits))])
            for edits in ((), (PartEdit(test.latent, Op.ADD, 2.0, Unit.NORM, Part.MARKED_LAST),))
        ]
        change = (weights[1] - weights[0]).mean(0)
        for head in test.heads:
            assert head.difference == pytest.approx(change[head.layer, head.head], abs=1e-6)
        assert test.pooled == pytest.approx(change[layer + 1 :].mean(), abs=1e-6)


def test_causality_killed_and_resumed_equals_straight_and_twice_asks_nothing(runner: LocalRunner, store, made) -> None:
    counting = Counting(runner)
    straight = tried(counting, store, made)
    again = Counting(runner)
    assert tried(again, store, made) == straight and {*again.asked} <= {"describe"}
    (store.folder("known-unknown-causality", straight.key) / "result.json").unlink()
    for file in sorted(store.folder(parts.PARTS, straight.key).glob("*.json"))[2:]:
        file.unlink()
    resumed = Counting(runner)
    found = tried(resumed, store, made)
    assert replace(found, record=straight.record) == straight
    assert resumed.asked["AnsweringAsk"] == counting.asked["AnsweringAsk"] - 2
    assert study.find_causality(store, made.key) == found


def trial(amount: float, side: Condition, refused: int, readable: int = 10) -> AmountTrial:
    return AmountTrial(amount, side, Share(refused, 10), Share(0, 10), Share(readable, 10))


def test_the_amount_is_the_one_at_which_the_unknown_latent_makes_the_model_decline_most_while_answers_are_text() -> None:
    def best(*cells: tuple[float, int, int, int]) -> float:
        both = [[trial(a, Condition.KNOWN, known, text), trial(a, Condition.UNKNOWN, unknown, text)] for a, known, unknown, text in cells]
        return best_amount([trial(0.0, Condition.ORIGINAL, 9), *(one for pair in both for one in pair)])

    assert best((0.5, 1, 2, 10), (1.0, 1, 6, 9), (2.0, 0, 10, 5)) == 1
    assert best((0.5, 0, 0, 10), (1.0, 0, 0, 8), (2.0, 0, 9, 7)) == 1
    assert best((0.5, 0, 0, 3), (1.0, 0, 9, 2)) == 0.5


def test_the_amount_is_tuned_on_validation_and_reported_on_test(runner: LocalRunner, store, made) -> None:
    settings = replace(TRY, amount=None, amounts=(0.5, 3.0), n_tuning=2)
    counting = Counting(runner)
    found = tried(counting, store, made, settings)
    split = {(one.kind, one.name): one.split for one in made.entities}
    validation = questions(made, take(kept_tables(made.folder / "types", made.ask), made.ask.settings), settings, Split.VALIDATION, 2)
    asked = [(one.taken.kind.name, one.taken.entity.name) for one in validation]
    assert asked and {split[one] for one in asked} == {Split.VALIDATION}
    assert {split[one.kind, one.name] for one in found.generations} == {Split.TEST}
    assert [(one.amount, one.condition) for one in found.tuning] == [
        (0.0, Condition.ORIGINAL),
        *((amount, side) for amount in (0.5, 3.0) for side in (Condition.KNOWN, Condition.UNKNOWN)),
    ]
    assert all(one.refused.n == one.readable.n == len(asked) for one in found.tuning)
    assert found.settings.amount == best_amount(found.tuning) and "tuned on validation" in found.notes[0]
    assert all(share == pytest.approx(found.settings.amount, rel=1e-3) for _, share in found.doses)
    given = tried(runner, store, made, replace(settings, amount=found.settings.amount))
    assert given.tuning == () and given.generations == found.generations
    (store.folder("known-unknown-causality", found.key) / "result.json").unlink()
    for file in [*store.folder(parts.PARTS, f"{found.key}-amounts").glob("0000[34].json")]:
        file.unlink()
    resumed = Counting(runner)
    assert replace(tried(resumed, store, made, settings), record=found.record) == found
    assert resumed.asked["AnsweringAsk"] == 2 < counting.asked["AnsweringAsk"]


def test_a_hand_label_changes_the_rates_and_can_be_taken_back(runner: LocalRunner, store, made) -> None:
    found = tried(runner, store, made)
    one = next(one for one in found.generations if one.verdict is Verdict.ERROR)

    def rate(among):
        return next(r for r in among.rates if (r.kind, r.knowledge, r.condition) == (one.kind, one.knowledge, one.condition))

    judged = parts.overrule_generation(store, found.key, one, Verdict.REFUSAL)
    assert rate(judged).refused.k == rate(found).refused.k + 1 and rate(judged).hallucinated.k == rate(found).hallucinated.k - 1
    assert parts.overrule_generation(store, found.key, one, None) == found


def test_what_is_kept_reads_back_as_it_was(runner: LocalRunner, store, made) -> None:
    found = tried(runner, store, made)
    assert from_plain(type(found), json.loads(json.dumps(to_plain(found), allow_nan=False))) == found


def test_uncertainty_counts_right_and_wrong_answers_by_split(runner: LocalRunner, store, made, monkeypatch) -> None:
    settings = UncertaintySettings(n_questions=80, new_tokens=4, n_chosen=3)
    # A random model is never right, so names decide here which answers are.
    verdict = {0: Verdict.CORRECT, 1: Verdict.ERROR, 2: Verdict.ERROR, 3: Verdict.CORRECT, 4: Verdict.REFUSAL}
    monkeypatch.setattr(uncertainty.Taken, "grade", lambda self, attribute, answer: verdict[sum(map(ord, self.entity.name)) % 5])
    ask = study_uncertainty.ask_of(made.key, settings)
    found = uncertainty.load_uncertainty(store, ran(study_uncertainty.STUDY, runner, store, ask))
    for one in found.tallies:
        assert one.n_right + one.n_wrong + one.n_refused == 80 and one.n_right > 5 and one.n_refused
    best = found.latents[0]
    assert best.score == pytest.approx(min(-t for _, t in best.t)) and best.score >= found.latents[1].score
    n_test = best.figures.test.n
    assert n_test == len(found.test) == sum(wrong for *_, wrong, _ in found.test) + sum(not wrong for *_, wrong, _ in found.test)
    split = {(one.kind, one.name): one.split for one in made.entities}
    assert {split[kind, name] for kind, name, *_ in found.test} == {Split.TEST}
    assert found.linear is not None and found.linear.test.n == n_test
    counting = Counting(runner)
    assert ran(study_uncertainty.STUDY, counting, store, ask) == found.key and {*counting.asked} <= {"describe"}


def test_the_bundle_is_enough_to_count_everything_again(runner: LocalRunner, store, made, tmp_path: Path) -> None:
    tried(runner, store, made)
    written = study.write_study(store, made, tmp_path / "out")
    assert all(file.is_file() for file in written)
    out = tmp_path / "out"
    rows = duckdb.sql(
        f"select a.latent, e.type, e.label, count(*) from '{out}/activations.parquet' a join '{out}/entities.parquet' e using (type, name) "
        "where e.split = 'test' group by all"
    ).fetchall()
    counted = {(latent, kind, label): n for latent, kind, label, n in rows}
    for one in (*made.known, *made.unknown):
        for pair in one.pairs:
            assert counted.get((str(one.latent), pair.kind, "known"), 0) == pair.known.k
            assert counted.get((str(one.latent), pair.kind, "unknown"), 0) == pair.unknown.k
    ((total,),) = duckdb.sql(f"select sum(known_test_fires) from '{out}/counts.parquet'").fetchall()
    assert total == made.counts.fires_of(Knowledge.KNOWN, Split.TEST).sum()
    ((n,),) = duckdb.sql(f"select count(*) from read_csv('{out}/generations.csv')").fetchall()
    assert n == 12 * 6
    for name in ("entities", "types", "norms", "rates", "generations", "self_reports"):
        columns = duckdb.sql(f"select * from '{out}/{name}.parquet'").columns
        assert "type" in columns and not {"kind", "knowledge"} & {*columns}, name
    norms = duckdb.sql(f"select sum(n), min(mean) from '{out}/norms.parquet' where site = '1.resid_post'").fetchall()
    assert norms[0][0] == len(made.entities) and norms[0][1] > 0
    record = json.loads((out / "record.json").read_text())
    assert record["study"]["ask"] == made.ask.plain_data() and record["key"] == made.key and record["causality"]["ask"]["study"] == made.key
