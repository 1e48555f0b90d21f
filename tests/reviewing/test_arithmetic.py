"""What verdicts add up to: reviewers of known errors, planted precision, agreement, and what is overruled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus import Corpus
from corpus.records import Review, ReviewMode
from miner.campaigns.run_folder import RunFolder
from miner.config.campaign import PatchSection, parse_config
from miner.errors import ConfigError
from miner.judging.near_misses import NearMiss, near_misses
from miner.judging.review_statistics import Judgement, krippendorff_alpha, precision, reviewer_errors
from miner.judging.review_summary import summarise_reviews
from miner.judging.reviewed_texts import sensible_texts
from miner.judging.reviews import PeoplesVerdicts
from miner.patching.findings import training_findings
from miner.reporting.reading import read_run
from miner.reporting.writing import write_report
from scripts.drills import samples
from tests.reporting.samples import finding, write_run

VERDICTS = ("nonsense", "sensible")


def crew(
    truth: float, errors: dict[str, tuple[float, float]], *, n: int = 400, controls: int = 100, seed: int = 0
) -> list[Judgement]:
    """What reviewers of these (misses, false alarms) say of ``n`` findings, a share ``truth`` of them nonsense, and of
    ``controls`` planted and as many clean texts."""
    rng = np.random.default_rng(seed)
    kinds = [*np.where(rng.random(n) < truth, "nonsense", "sensible"), *["nonsense", "sensible"] * controls]
    given = []
    for name, (misses, alarms) in errors.items():
        for at, kind in enumerate(kinds):
            wrong = rng.random() < (misses if kind == "nonsense" else alarms)
            said = {"nonsense": "sensible", "sensible": "nonsense"}[kind] if wrong else str(kind)
            expected = str(kind) if at >= n else None
            given.append(Judgement(reviewer=name, item=str(at), verdict=said, expected=expected))
    return given


@pytest.mark.parametrize(
    ("truth", "errors"),
    [
        (0.7, {"a": (0.2, 0.15)}),
        (0.95, {"a": (0.03, 0.02), "b": (0.1, 0.1), "c": (0.25, 0.2)}),
        (0.99, {"a": (0.05, 0.05)}),
        (0.05, {"a": (0.1, 0.1)}),
    ],
)
def test_the_true_precision_is_recovered(truth: float, errors: dict[str, tuple[float, float]]) -> None:
    found = [precision(crew(truth, errors, seed=seed), draws=500) for seed in range(200)]
    held = [one.low <= truth <= one.high for one in found if one]
    values = [one.value for one in found if one]
    assert len(held) == 200
    assert np.mean(held) >= 0.93 - 2 * (0.05 * 0.95 / 200) ** 0.5  # scripts/bench_review measures it on more
    assert abs(np.mean(values) - truth) < 0.03
    said = np.mean([one.said for one in found if one])
    assert abs(said - truth) > abs(np.mean(values) - truth)


def test_without_controls_nothing_is_corrected_and_that_is_said() -> None:
    found = precision(crew(0.9, {"a": (0.2, 0.2)}, controls=0))
    assert found
    assert not found.corrected
    assert found.value == found.said


def test_the_interval_widens_where_items_share_a_prompt() -> None:
    given = crew(0.7, {"a": (0.05, 0.05)}, seed=3)
    ordered = sorted((one for one in given if one.expected is None), key=lambda one: one.verdict)
    clusters = {one.item: at // 20 for at, one in enumerate(ordered)}
    alone, together = precision(given), precision(given, clusters=clusters)
    assert alone
    assert together
    assert together.width > 1.5 * alone.width


def test_a_coin_is_flagged_and_an_honest_reviewer_is_not() -> None:
    errors = {"coin": (0.5, 0.5), "careful": (0.02, 0.02), "careless": (0.2, 0.15), "always": (0.0, 1.0)}
    flagged = []
    for seed in range(50):
        flagged += [
            one.reviewer for one in reviewer_errors(crew(0.9, errors, n=20, controls=40, seed=seed)) if one.flagged
        ]
    assert (flagged.count("coin"), flagged.count("always")) == (50, 50)
    assert flagged.count("careful") + flagged.count("careless") == 0


def test_on_few_controls_an_honest_reviewer_is_kept_and_a_coin_mostly_flagged() -> None:
    errors = {"careful": (0.1, 0.05), "careless": (0.24, 0.14), "coin": (0.525, 0.475)}  # 5 % of it not sure
    flagged, told = [], []
    for seed in range(200):
        given = crew(0.9, errors, n=20, controls=20, seed=seed)
        found = reviewer_errors(given)
        flagged += [one.reviewer for one in found if one.flagged]
        told += [one.reviewer for one in found if not one.flagged and not one.too_few]
        assert precision([one for one in given if one.reviewer == "careful"], draws=20)
    assert flagged.count("careful") == 0
    assert flagged.count("careless") <= 5  # 0.5 % by enumeration of all outcomes
    assert 180 <= flagged.count("coin") < 200  # 96 %
    assert told.count("careful") > 190 > told.count("careless") > 50
    assert told.count("coin") <= 2


def test_nobody_is_flagged_on_a_handful_of_controls() -> None:
    (coin,) = reviewer_errors(crew(0.9, {"coin": (0.5, 0.5)}, controls=5))
    assert not coin.flagged
    assert coin.too_few


def test_a_flagged_reviewer_counts_nowhere() -> None:
    given = crew(0.9, {"a": (0.02, 0.02), "coin": (0.5, 0.5)}, seed=1)
    assert precision(given) == precision([one for one in given if one.reviewer == "a"])


def test_in_no_figure_of_the_summary_a_flagged_reviewer_counts() -> None:
    found = [finding(n) for n in range(40)]
    ids = [one.finding_id for one in found]
    controls = [(f"c{n}", ("nonsense", "sensible")[n % 2]) for n in range(80)]
    rng = np.random.default_rng(0)

    def said(reviewer: str, errors: float, mode: ReviewMode, names: tuple[str, str]) -> list[Review]:
        asked: list[tuple[str, str | None]] = [*((one, None) for one in ids), *(controls if mode == "verdicts" else [])]
        return [
            samples.review(
                at, review_id=f"{reviewer}{mode}{at}", reviewer=reviewer, mode=mode, item_id=item, expected=kind,
                verdict=names[int((kind == names[1]) != (rng.random() < errors))],
            )
            for at, (item, kind) in enumerate(asked)
        ]  # fmt: skip

    honest = [*said("Ann", 0.02, "verdicts", VERDICTS), *said("Bob", 0.05, "verdicts", VERDICTS)]
    honest += said("Ann", 0.1, "pairs", ("reference", "finding"))
    coin = [*said("coin", 0.5, "verdicts", VERDICTS), *said("coin", 0.5, "pairs", ("reference", "finding"))]
    one, other = (summarise_reviews(reviews, found) for reviews in (honest, [*honest, *coin]))
    assert one
    assert other
    assert [who.flagged for who in other.reviewers] == [False, False, True]
    assert replace(other, reviewers=one.reviewers) == one


def test_pairs_and_near_misses_of_one_prompt_are_drawn_together() -> None:
    found = [finding(n) for n in range(60)]
    by_prompt = sorted(found, key=lambda one: one.prompt_id)
    modes = {"pairs": ("finding", "reference"), "near_misses": VERDICTS}
    near = {
        one.finding_id: NearMiss(prompt_id=one.prompt_id, response=one.response, prompt=one.prompt, reference=None,
                                 split=one.split)
        for one in found
    }  # fmt: skip
    reviews = [
        samples.review(review_id=f"{mode}{at}", mode=mode, item_id=one.finding_id, verdict=names[at // 30])
        for mode, names in modes.items()
        for at, one in enumerate(by_prompt)
    ]
    reviews = [replace(one, item_id=near[one.item_id].item_id) if one.mode == "near_misses" else one for one in reviews]
    together, alone = summarise_reviews(reviews, found, list(near.values())), summarise_reviews(reviews, [])
    assert together
    assert alone
    assert together.preferred
    assert alone.preferred
    assert together.preferred.high - together.preferred.low > 1.5 * (alone.preferred.high - alone.preferred.low)
    assert together.near_misses
    assert alone.near_misses
    assert together.near_misses.width > 1.5 * alone.near_misses.width


def test_where_checks_learned_from_verdicts_precision_is_of_other_prompts() -> None:
    found = [finding(n) for n in range(60)]
    held_out = [one.finding_id for one in found if one.split == "held_out"]
    others = [one.finding_id for one in found if one.split == "train"]
    reviews = [*judged(held_out, "nonsense"), *judged(others, "sensible")]
    whole, unseen = summarise_reviews(reviews, found), summarise_reviews(reviews, found, unseen="held_out")
    assert whole
    assert unseen
    assert whole.precision
    assert unseen.precision
    assert (whole.precision.n, unseen.precision.n) == (60, len(held_out))
    assert whole.precision.value < 0.8 < unseen.precision.value == 1
    assert unseen.by_attack.keys() == whole.by_attack.keys()


def test_checks_learn_from_what_people_call_sensible_on_train_prompts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no corpus in"):
        sensible_texts(tmp_path)
    found = [samples.finding(n, finding_id=f"f{n}", split="held_out" if n % 2 else "train") for n in range(4)]
    query = samples.scored_query(1, prompt_id=found[0].prompt_id, response="let go", reward=99.0)
    corpus = Corpus(tmp_path / "corpus")
    corpus.append(*found, query)
    corpus.append(*judged(["f0"], "nonsense"))
    with pytest.raises(ConfigError, match="nobody has called a text of"):
        sensible_texts(tmp_path)
    (near,) = near_misses(corpus)
    corpus.append(*judged(["f1", "f2"], "sensible"))
    corpus.append(replace(judged([near.item_id], "sensible")[0], mode="near_misses"))
    texts = {one.response for one in sensible_texts(tmp_path).subjects}
    assert texts == {found[2].response} | ({"let go"} if near.split == "train" else set())


def test_a_campaign_that_learns_from_verdicts_is_another_and_others_go_on() -> None:
    given = {"out": "x", "data": {"world": "docs"}}
    before = parse_config(given, where="t")
    after = parse_config({**given, "checks": {"reviewed": "runs/mine"}}, where="t")
    assert before.fixed_digest() != after.fixed_digest()
    assert (before.checks.unseen, after.checks.unseen) == (None, "held_out")


def test_agreement_is_krippendorffs() -> None:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units
    observers = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    answers = [(unit, said) for row in observers for unit, said in enumerate(row.split()) if said != "."]
    nominal = krippendorff_alpha(answers)
    interval = krippendorff_alpha([(unit, float(said)) for unit, said in answers], numeric=True)
    assert nominal
    assert interval
    assert nominal.value == pytest.approx(0.743, abs=0.001)
    assert interval.value == pytest.approx(0.849, abs=0.001)
    assert nominal.low < nominal.value < nominal.high <= 1
    assert krippendorff_alpha([(1, "a"), (1, "a"), (2, "a"), (2, "a")]) is None
    assert krippendorff_alpha([(1, "a"), (2, "b")]) is None


def judged(findings: list[str], verdict: str, reviewer: str = "Ann", source: str = "person") -> list[Review]:
    return [
        samples.review(
            at, review_id=f"{reviewer} {one} {verdict}", item_id=one, verdict=verdict, reviewer=reviewer, source=source
        )
        for at, one in enumerate(findings)
    ]


def test_most_decide_and_scripts_do_not_count() -> None:
    reviews = [
        *judged(["a", "b", "c"], "sensible"),
        *judged(["b"], "nonsense", "Bob"),
        *judged(["c"], "nonsense", "Bob"),
    ]
    reviews += [*judged(["c"], "nonsense", "Eve"), *judged(["d", "a"], "nonsense", "bot", "script")]
    people = PeoplesVerdicts(reviews)
    assert people.overruled == {"a"}
    assert people.confirmed == {"c"}
    assert summarise_reviews(judged(["a"], "nonsense", source="script"), []) is None


def test_the_last_published_word_stands_whatever_the_clocks_say() -> None:
    late, early = judged(["a"], "sensible")[0], judged(["a"], "nonsense")[0]
    early = replace(early, created_at=late.created_at.replace(year=2001))
    assert PeoplesVerdicts([late, early]).confirmed == {"a"}


def test_a_patch_sees_what_its_setting_says() -> None:
    found = [finding(n) for n in (0, 3, 6, 9) if finding(n).split == "train"]
    ids = [one.finding_id for one in found]
    people = PeoplesVerdicts([*judged(ids[:1], "sensible"), *judged(ids[1:2], "nonsense")])
    seen = {
        setting: [ids.index(one.finding_id) for one in training_findings(found, PatchSection(reviewed=setting), people)]
        for setting in ("not_overruled", "confirmed", "ignore")
    }
    assert seen == {"not_overruled": [1, 2, 3], "confirmed": [1], "ignore": [0, 1, 2, 3]}


def test_people_may_judge_a_run_that_is_there_already() -> None:
    given = {"out": "x", "data": {"world": "docs"}}
    one, other = (parse_config({**given, "patch": {"reviewed": how}}, where="t") for how in ("ignore", "confirmed"))
    assert one.fixed_digest() == other.fixed_digest() == parse_config(given, where="t").fixed_digest()


def test_the_report_says_what_people_say(tmp_path: Path) -> None:
    write_run(tmp_path, findings=40)
    corpus = Corpus(tmp_path / "corpus")
    before = read_run(tmp_path)
    assert before.reviews is None
    ids = [one.finding_id for one in corpus.findings()]
    corpus.append(*judged(ids[:30], "nonsense"), *judged(ids[30:35], "sensible"))
    run = read_run(tmp_path)
    assert run.reviews
    assert run.reviews.precision
    assert (run.reviews.confirmed, run.reviews.overruled) == (30, 5)
    assert run.reviews.precision.value == pytest.approx(30 / 35)
    assert run.reviews.precision.n == 35
    assert {"gcg", "policy"} <= run.reviews.by_attack.keys()
    assert set(run.reviews.by_check) == {"repeats", "order"}
    html = write_report(tmp_path, attribution=None).html.read_text(encoding="utf-8")
    assert 'id="reviews"' in html
    assert "overruled 5" in html
    assert RunFolder(tmp_path).corpus.reviews()
