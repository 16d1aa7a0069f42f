"""`amft/Math-v0` with questions from files."""

import csv
import json
import math
import os

import gymnasium
import pytest

from envs.math_tasks.data import DataError


def make(source, **arguments):
    return gymnasium.make("amft/Math-v0", source=str(source), **arguments)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sums(count, start=0):
    return [
        {"question": f"What is {n} + 1?", "answer": n + 1, "solution": f"{n} + 1 is {n + 1}"}
        for n in range(start, start + count)
    ]


def all_questions(env):
    source = env.unwrapped._sources[0]
    return {source.problem(index).question for index in range(len(source))}


def plays(env, seeds=5):
    """The expert is right about every question."""
    for seed in range(seeds):
        env.reset(seed=seed)
        *_, info = env.step(env.unwrapped.expert())
        assert info["success"], info
    return True


def write_json(path, rows):
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_json_object(path, rows):
    path.write_text(json.dumps({"version": 1, "data": rows}), encoding="utf-8")


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_saved(path, rows):
    import datasets

    datasets.Dataset.from_list(rows).save_to_disk(str(path))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", write_lines),
        ("a.json", write_json),
        ("a.json", write_json_object),
        ("a.json", write_lines),
        ("a.csv", write_csv),
        ("a.parquet", write_parquet),
        ("saved", write_saved),
    ],
)
def test_every_kind_of_file(tmp_path, name, write):
    write(tmp_path / name, sums(8))
    env = make(tmp_path / name, split="all")
    assert len(all_questions(env)) == 8
    assert plays(env)
    assert env.reset(seed=0)[0]["text"].startswith("What is ")


def test_a_file_that_has_changed_is_read_anew(tmp_path):
    """Defect: what was read of a path was kept for the life of the process."""
    path, folder = write_lines(tmp_path / "a.jsonl", sums(8)), tmp_path / "folder"
    folder.mkdir()
    write_lines(folder / "one.jsonl", sums(8))
    for where in (path, folder):
        here, beside = (make(where, split="all").unwrapped._sources[0] for _ in range(2))
        assert here is beside  # read once
    write_lines(path, sums(9))
    os.utime(path, ns=(0, 0))
    write_lines(folder / "two.jsonl", sums(1, start=8))
    for where in (path, folder):
        assert len(all_questions(make(where, split="all"))) == 9


def test_splits_are_disjoint_and_nothing_is_lost(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", sums(300) + sums(300))
    train, evaluation = (all_questions(make(path, split=split)) for split in ("train", "id"))
    assert not train & evaluation
    assert len(train | evaluation) == 300
    assert 10 < len(evaluation) < 60


def test_files_named_train_and_test_are_the_splits(tmp_path):
    write_lines(tmp_path / "train.jsonl", sums(20))
    write_lines(tmp_path / "test.jsonl", sums(10, start=15))
    train, evaluation = (all_questions(make(tmp_path, split=split)) for split in ("train", "id"))
    assert len(train) == 20
    assert evaluation == {f"What is {n} + 1?" for n in range(20, 25)}, "five occur in training"


def test_folders_named_train_and_test_are_the_splits(tmp_path):
    """Defect: of train/data.jsonl and test/data.jsonl the folder was not looked at: test questions were
    trained on."""
    source = tmp_path / "test"  # where the data set itself lies says nothing
    files = ("train/data", "test/data", "test/deeper/more", "test/training", "data")
    for start, name in zip(range(0, 500, 100), files, strict=True):
        path = source / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, sums(20, start))
    train, evaluation = (all_questions(make(source, split=split)) for split in ("train", "id"))
    asked = {start: {row["question"] for row in sums(20, start)} for start in range(0, 500, 100)}
    assert train == asked[0] | asked[300] | asked[400]
    assert evaluation == asked[100] | asked[200]


@pytest.mark.parametrize("name", ["latest", "greatest_hits", "medieval", "retrieval"])
def test_a_part_within_another_word_says_nothing(tmp_path, name):
    """latest.jsonl was taken for a test set, medieval.jsonl for one of evaluation."""
    write_lines(tmp_path / f"{name}.jsonl", sums(10))
    write_lines(tmp_path / "gsm-test.jsonl", sums(5, start=10))
    train, evaluation = (all_questions(make(tmp_path, split=split)) for split in ("train", "id"))
    assert (len(train), len(evaluation)) == (10, 5)


@pytest.mark.parametrize("name", ["contest_train", "attestation-training2", "TRAIN"])
def test_a_part_is_a_word_of_the_name(tmp_path, name):
    """contest_train.jsonl was read as test."""
    write_lines(tmp_path / f"{name}.jsonl", sums(10))
    assert len(all_questions(make(tmp_path, split="train"))) == 10


def test_a_folder_of_files_is_one_data_set(tmp_path):
    write_lines(tmp_path / "part-1.jsonl", sums(5))
    write_lines(tmp_path / "part-2.jsonl", sums(5, start=5))
    assert len(all_questions(make(tmp_path, split="all"))) == 10


PRESET_ROWS = {
    "gsm8k": {
        "question": "Two and two apples?",
        "answer": "There are 2+2=<<2+2=4>>4 apples.\n#### 4",
    },
    "math_500": {
        "problem": "Half of 1?",
        "solution": r"It is $\boxed{\frac{1}{2}}$.",
        "answer": r"\frac{1}{2}",
        "subject": "Prealgebra",
    },
    "aime": {"ID": "2024-I-1", "Problem": "How many minutes?", "Answer": 204},
    "openr1_math_46k": {
        "prompt": [
            {"role": "system", "content": "Think."},
            {"role": "user", "content": "What is 6 * 7?"},
        ],
        "target": [{"role": "assistant", "content": r"6 * 7 = 42. \boxed{42}"}],
        "reward_model": {"ground_truth": "42", "style": "rule"},
    },
}


@pytest.mark.parametrize("preset", PRESET_ROWS)
@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_presets(tmp_path, preset, write):
    path = tmp_path / ("a.jsonl" if write is write_lines else "a.parquet")
    write(path, [PRESET_ROWS[preset]])
    env = make(path, split="all", preset=preset)
    assert plays(env, 1)
    observation, info = env.reset()
    assert "#" not in info["answer"] + env.unwrapped.expert()
    assert "<<" not in env.unwrapped.expert()
    assert "system" not in observation["text"]


def test_a_saved_data_set_that_is_broken_is_named(tmp_path):
    """Defect: the words of a library, in as many kinds as there are ways to break one."""
    (tmp_path / "dataset_info.json").write_text("{")
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DataError, match=f"{tmp_path.name} cannot be read as a saved data set"):
        make(tmp_path)


def test_a_column_may_be_named_by_a_number(tmp_path):
    """Defect: a command line reads question=0 as a number, which was no name or had no `split`."""
    path = write_lines(tmp_path / "a.jsonl", [{"0": "1 + 1?", "1": "2"}])
    assert all_questions(make(path, split="all", question=0, answer=1)) == {"1 + 1?"}


def test_columns_by_name(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"q": "1 + 1?", "meta": {"a": 2}, "s": "It is 2."}])
    env = make(path, split="all", question="q", answer="meta.a", solution="s")
    env.reset(seed=0)
    assert env.unwrapped.expert() == "It is 2.\nThe answer is \\boxed{2}."


def test_a_solution_that_ends_wrong_is_put_right(tmp_path):
    row = {"question": "1 + 1?", "answer": "2", "solution": r"It is \boxed{3}."}
    assert plays(make(write_lines(tmp_path / "a.jsonl", [row]), split="all"), 1)


@pytest.mark.parametrize(
    ("rows", "arguments", "words"),
    [
        ([], {}, ["a.jsonl", "empty"]),
        ([{"x": 1, "y": 2}], {}, ["row 1", "'question'", "'x', 'y'", "preset"]),
        ([{"problem": "?", "answer": "1"}], {}, ["'question'", "preset='math_500' would fit"]),
        ([*sums(2), {"question": "?"}], {}, ["row 3", "'answer'"]),
        (
            [{"question": "?", "answer": None}],
            {},
            ["none of its 1 rows", "row 1", "answer", "null"],
        ),
        ([{"question": " ", "answer": "1"}], {}, ["row 1", "question", "empty"]),
        ([{"question": "?", "answer": {"a": 1}}], {}, ["row 1", "answer", "dict"]),
        ([[1, 2]], {}, ["row 1", "expected an object", "list"]),
        (sums(1), {"solution": "steps"}, ["row 1", "'steps'", "solution"]),
        (sums(1), {"answer": "solution.text"}, ["'solution.text'"]),
        (sums(1), {"split": "ood_hard"}, ["split='ood_hard'", "'all'"]),
        ([{"question": "same", "answer": 1}], {"split": "id"}, ["split='id'"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path, rows, arguments, words):
    path = write_lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(ValueError) as caught:
        make(path, **({"split": "all"} | arguments))
    for word in words:
        assert word in str(caught.value)


def test_a_row_that_cannot_be_used_costs_itself_alone(tmp_path, caplog):
    """One null question among thousands cost the whole data set."""
    spoilt = [{"question": None, "answer": 1}, {"question": "?", "answer": [1]}]
    rest = [{"question": "?", "answer": " "}, {"question": "half \ud800", "answer": "1"}]
    path = write_lines(tmp_path / "a.jsonl", [*spoilt, *sums(4), *rest])
    assert len(all_questions(make(path, split="all"))) == 4
    assert "4 of 8 rows are left out" in caplog.text
    assert "row 1: the question (column 'question') is null" in caplog.text


def test_a_question_that_nobody_could_answer_is_left_out(tmp_path, caplog):
    """Defect: of these the expert's own answer was wrong, and every other."""
    untold = ["{a", r"\{", "x" * 2500, "."]
    rows = [{"question": f"{n}?", "answer": answer} for n, answer in enumerate(untold)]
    told = [
        {"question": "set?", "answer": r"\{1, 2\}"},
        {"question": "long?", "answer": "7" * 1500},
    ]
    path = write_lines(tmp_path / "a.jsonl", [*rows, *told])
    env = make(path, split="all")
    assert all_questions(env) == {"set?", "long?"}
    assert "4 of 6 rows are left out" in caplog.text
    assert plays(env, 2)


def test_an_answer_that_is_not_a_number_is_left_out(tmp_path, caplog):
    """Parquet holds null among numbers as NaN, which became the right answer "nan"."""
    path = tmp_path / "a.parquet"
    write_parquet(
        path, [{"question": "1/4?", "answer": 0.25}, {"question": "?", "answer": math.nan}]
    )
    assert all_questions(make(path, split="all")) == {"1/4?"}
    assert "1 of 2 rows are left out" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"question": 1\n', ["line 1", "JSON"]),
        ("a.jsonl", b"\xff\xfe\x00", ["a.jsonl", "cannot be read"]),
        ("a.parquet", b"not parquet", ["a.parquet", "parquet"]),
        ("a.txt", b"", ["a.txt", ".jsonl"]),
        ("a.json", b"[" * 100_000, ["a.json", "too deep"]),
        ("a.jsonl", b"[" * 100_000, ["a.jsonl, line 1", "recursion"]),
        ("a.json", b'[{"answer": 1' + b"0" * 5000 + b"}]", ["a.json", "5001 digits"]),
        ("a.jsonl", b'{"answer": 1' + b"0" * 5000 + b"}", ["a.jsonl, line 1", "5001 digits"]),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, words):
    """Of JSON that is nested too deep, or has a number of too many digits, no file was named."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        make(tmp_path / name, split="all")
    for word in words:
        assert word in str(caught.value)


def test_a_data_set_of_the_hub_is_asked_for_by_name(monkeypatch):
    import datasets

    def load_dataset(name, configuration):
        assert (name, configuration) == ("owner/sums", "main")
        parts = {"train": sums(6), "test": sums(3, start=6)}
        return datasets.DatasetDict({p: datasets.Dataset.from_list(r) for p, r in parts.items()})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    train, evaluation = (
        all_questions(make("hf:owner/sums:main", split=split)) for split in ("train", "id")
    )
    assert (len(train), len(evaluation)) == (6, 3)


@pytest.mark.parametrize(
    ("sizes", "trained", "evaluated"),
    [
        ({"train_sft": 6, "test_sft": 3, "train_gen": 5, "test_gen": 2}, 11, 5),
        ({"train": 6, "extra": 3}, 6, 3),
        ({"test_sft": 30}, 27, 3),  # a single part says nothing
        ({"algebra": 30, "geometry": 30}, 52, 8),  # nor do names of no part
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_parts_of_a_data_set_say_the_split_by_a_word_of_theirs(tmp_path, sizes, trained, evaluated):
    """Defect: train_sft and test_sft were both of evaluation: "no question for split='train'"."""
    import datasets

    rows = iter(sums(sum(sizes.values())))
    parts = {name: [next(rows) for _ in range(size)] for name, size in sizes.items()}
    saved = {name: datasets.Dataset.from_list(of_part) for name, of_part in parts.items()}
    datasets.DatasetDict(saved).save_to_disk(str(tmp_path / "saved"))
    train, evaluation = (
        all_questions(make(tmp_path / "saved", split=split)) for split in ("train", "id")
    )
    assert (len(train), len(evaluation)) == (trained, evaluated)


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch):
    import datasets

    def load_dataset(name, configuration):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"hf:owner/other.*no network"):
        make("hf:owner/other")


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="holds no file"):
        make(tmp_path, split="all")
