"""Medians, ratios, the report, and what the chart shows: without a mount."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Spread, percentile, spread, times_as_fast
from benchmarks.machine import version_in
from benchmarks.measures import differences
from benchmarks.picture import Bar, bounds, panels, ticks
from benchmarks.plan import PEERS, PLANS, chosen
from benchmarks.report import number, table, whole
from benchmarks.results import Results, Row, Series, from_json, load, save, to_json
from benchmarks.rounds import in_turns


def make_row(name: str = "iso sequential", peer: str = "fuseiso") -> Row:
    return Row(
        name,
        "Plain ISO",
        "MB/s",
        "more",
        {
            "ours": Series([100.0, 300.0, 200.0], [20.0, 21.0, 20.5]),
            peer: Series([100.0, 100.0, 400.0], [0.5, 0.5, 0.5]),
        },
    )


def make_results() -> Results:
    rows = [
        make_row(),
        make_row("iso random 4K p50"),
        make_row("wide ls"),
        make_row("cso2k sequential", "squashfuse 128K"),
        make_row("cso2k small files first", "kernel squashfs 128K"),
        make_row("zso sequential", "C, one core, lz4"),
    ]
    return Results(rows, {"cpu": "a processor"}, {"ours": "1.0"}, {"entries": 2000}, 3, ["maxcso is not installed"])


def test_spread_is_the_median_between_the_least_and_the_most() -> None:
    assert spread([3.0, None, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    assert spread([None]) is None


def test_percentile_is_one_of_the_values() -> None:
    values = [float(i) for i in range(100, 0, -1)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([7.0], 99) == 7


def test_ratios_are_those_of_the_rounds() -> None:
    # The medians are 200 and 100: their ratio would be 2.
    assert times_as_fast([100, 300, 200], [100, 100, 400], "more") == Spread(1.0, 0.5, 3.0)
    assert times_as_fast([10, 20], [20, 20], "less") == Spread(1.5, 1.0, 2.0)


def test_rounds_that_failed_have_no_ratio() -> None:
    assert times_as_fast([None, 2.0, 3.0], [1.0, 1.0, None], "more") == Spread(2.0, 2.0, 2.0)
    assert times_as_fast([None], [1.0], "more") is None


def test_each_contender_starts_as_often_as_the_others() -> None:
    assert in_turns("abc", 0) == ["a", "b", "c"]
    assert in_turns("abc", 4) == ["b", "c", "a"]
    assert Counter(in_turns("abc", i)[0] for i in range(6)) == {"a": 2, "b": 2, "c": 2}
    assert in_turns("", 3) == []


def test_rows_have_names_of_their_own() -> None:
    assert max(Counter(plan.name for plan in PLANS).values()) == 1
    assert {peer for plan in PLANS for peer in plan.peers} == set(PEERS)


def test_rows_are_chosen_by_words() -> None:
    assert chosen([""]) == list(PLANS)
    assert {plan.name for plan in chosen(["wide", " start"])} == {"wide ls", "wide find", "iso start"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1234"), (99.96, "100"), (12.34, "12.3"), (9.996, "10.0"), (1.234, "1.23"), (0.0123, "0.012")],
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_table_shows_medians_spreads_memory_and_ratios() -> None:
    head, ours, peer = table(make_row()).splitlines()
    assert head == "iso sequential: Plain ISO [MB/s, more is better]"
    assert ours.split() == ["ours", "200", "(100", "..", "300)", "20.5", "MiB"]
    assert peer.split("MiB")[1].strip() == "ours x 1.00 (0.50 .. 3.00)"


def test_table_says_who_failed() -> None:
    row = make_row()
    row.series["fuseiso"] = Series([None, None, None], [None, None, None])
    assert table(row).splitlines()[-1].split() == ["fuseiso", "failed"]


def test_report_says_what_is_missing_and_wrong() -> None:
    results = make_results()
    results.wrong.append("iso sequential: WRONG DATA of ours")
    text = whole(results)
    assert "# left out: maxcso is not installed" in text
    assert text.endswith("WRONG DATA of ours")
    assert all(row.name in text for row in results.rows)


def test_results_come_back_from_json(tmp_path: Path) -> None:
    results = make_results()
    save(results, tmp_path / "figures.json")
    assert load(tmp_path / "figures.json") == results
    found = to_json(results)["rows"][0]["contenders"]
    assert found["fuseiso"]["ours_is_times_as_fast"] == {"median": 1.0, "smallest": 0.5, "largest": 3.0}
    assert found["ours"]["ours_is_times_as_fast"] is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "rows": [1]}'])
def test_other_files_are_no_results(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text, encoding="utf-8")
    with pytest.raises(BenchmarkError):
        load(tmp_path / "file")
    with pytest.raises(BenchmarkError):
        from_json(None)


def test_figures_of_a_file_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(make_results(), tmp_path / "figures.json")
    assert main(["--from", str(tmp_path / "figures.json")]) == 0
    assert capsys.readouterr().out == whole(make_results()) + "\n"


def test_versions_are_found_in_what_programs_say() -> None:
    assert version_in("squashfuse 0.1.104 (c) 2012") == "0.1.104"
    assert version_in("Version: 20070708\nUsage") == "20070708"
    assert version_in("xorriso version   :  1.5.4\n") == "1.5.4"
    assert version_in("") == "unknown"


def test_differences_are_found(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    data = random.Random(1).randbytes(1_000_000)
    right.write_bytes(data)
    wrong.write_bytes(data)
    assert differences(wrong, right, 1) == []
    wrong.write_bytes(data[:500_000] + bytes(500_000))
    assert any("bytes at" in text for text in differences(wrong, right, 1))
    assert any("an error" in text for text in differences(tmp_path / "none", right, 1))


# --- the chart ------------------------------------------------------------------------------------------------------


def test_panels_have_a_bar_for_each_row_and_its_peer() -> None:
    found = panels(make_results())
    assert [[bar.name for bar in panel.bars] for panel in found] == [
        ["Sequential", "Random 4 KiB, median", "2,000 entries, ls -f"],
        ["CSO 2K, sequential"],
        ["CSO 2K, small files, first pass"],
        ["ZSO, sequential"],
    ]
    assert {bar.ratio for panel in found for bar in panel.bars} == {Spread(1.0, 0.5, 3.0)}


def test_bars_tell_faster_from_slower() -> None:
    faster, slower, even = (Bar("row", Spread(ratio, ratio, ratio)) for ratio in (2.0, 0.5, 1.01))
    assert len({faster.color, slower.color, even.color}) == 3
    assert (faster.label, slower.label) == ("2.00\N{MULTIPLICATION SIGN}", "0.50\N{MULTIPLICATION SIGN}")


def test_axis_has_room_for_all_bars_and_for_one() -> None:
    low, high = bounds(panels(make_results()))
    assert 0 < low < 0.5
    assert high > 3
    shown = ticks(low, high)
    assert 1 in shown
    assert all(low <= tick <= high for tick in shown)


def test_axis_stays_readable_beside_one_that_is_far_away() -> None:
    results = Results([make_row()], rounds=3)
    results.rows[0].series["ours"].values = [0.001, 0.001, 0.001]
    low, high = bounds(panels(results))
    assert low > 0.005
    assert high > 1


def test_the_picture_says_that_matplotlib_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "figures.json").write_text(json.dumps(to_json(make_results())), encoding="utf-8")
    assert main(["--from", str(tmp_path / "figures.json"), "--picture", str(tmp_path / "picture.svg")]) == 2
    said = capsys.readouterr()
    assert said.err == "benchmarks: the picture needs matplotlib; run: pip install 'matplotlib>=3.8'\n"
    assert said.out == ""
    assert not (tmp_path / "picture.svg").exists()
