"""What the final answer of a text is, and whether it is right."""

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.general_points.formula import read_formula
from envs.math_tasks import verifier
from envs.math_tasks.grading import final_answer, is_right
from envs.math_tasks.problems import Countdown, Problem


def right(answer, reference):
    return is_right(answer, Problem("?", reference))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"The answer is \boxed{12}.", "12"),
        (r"\boxed{3}, no, wait: \boxed{4}", "4"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"so \boxed{\frac{1}{2}", r"\frac{1}{2}"),
        (r"\boxed 7 it is", "7"),
        (r"\boxed{} but 8", "8"),
        (r'{"answer": 3} and \boxed{5}', "5"),
        ('{"answer": 5}', "5"),
        ("{'answer': [1, 2],}", "1, 2"),
        ('{"answer": null} 8', "8"),
        ("<answer> 7 </answer>", "7"),
        ("3 + 4 = 7\n#### 7", "7"),
        ("**Answer:** 12", "12"),
        # the stars that end the bold words were a part of the answer
        ("The answer is **12**.", "12"),
        ("The answer is **12.** Then", "12"),
        ("**Answer: 12**", "12"),
        ("The final answer is: **$12$**", "$12$"),
        ("The answer is **12** apples.", "12 apples"),
        ("**Answer:** x**2 + y**2", "x**2 + y**2"),
        ("The final answer is: $\\frac{1}{2}$. I hope it is correct.", r"$\frac{1}{2}$"),
        ("The answer is 3.5.", "3.5"),
        ("3 + 4 is 7, and 7 - 9 is -2, so", "-2"),
        ("1,234", "1,234"),
        ("x = 3/4", "3/4"),
    ],
)
def test_the_final_answer(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize("text", ["", " \n", "I do not know.", r"\boxed{}", "{}", "\x00"])
def test_no_final_answer(text):
    assert final_answer(text) is None


def test_many_open_tags_are_read_once():
    """From each of them the rest of the text was searched: 2500 took seconds."""
    assert final_answer("<answer>" * 2_400 + "7") == "7"
    assert final_answer("<answer>" * 1_000_000) is None


def test_words_are_answers_to_questions_that_ask_for_words():
    assert final_answer("Let me think.\nTuesday", wordy=True) == "Tuesday"
    assert final_answer("Let me think.\nTuesday") is None
    assert right("tuesday.", "Tuesday")
    assert not right("Monday", "Tuesday")


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("6", "6"),
        ("6.0", "6"),
        ("+06", "6"),
        ("−6", "-6"),
        ("$6$", "6"),
        ("1,234", "1234"),
        ("$1,234", "1234"),
        ("1/2", r"\frac{1}{2}"),
        ("0.5", r"\frac12"),
        ("3/6", "1/2"),
        ("1 1/2", "3/2"),
        ("-1 1/2", "-1.5"),
        (r"2\frac{1}{3}", "7/3"),
        ("10%", "10"),
        (r"10\%", "0.1"),
        ("10", "10%"),
        # from here on by algebra
        ("0.333333", "1/3"),
        (r"\sqrt{3}/2", r"\frac{\sqrt{3}}{2}"),
        (r"2\sqrt{2}", r"\sqrt{8}"),
        (r"\{2, 1\}", r"\{1, 2\}"),
        ("x = 5", "5"),
        ("(x+1)^2", "x^2 + 2x + 1"),
        (r"12\text{ cm}", "12"),
        (r"12\text{ cm}^2", r"12\text{ cm}"),
        (r"\theta = 12^\circ", "12"),
        (r"\$1{,}234", "1234"),
        (r"\sqrt{4}", "2"),
        (r"2\frac13", "7/3"),
        ("7 = 7", "7"),
        ("100 apples", "100"),
        ("[1,2)", "[1, 2)"),
        (r"\text{(C)}", "C"),
    ],
)
def test_right_answers_in_many_forms(answer, reference):
    assert right(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("7", "6"),
        ("-6", "6"),
        ("6.1", "6"),
        ("1/3", "1/2"),
        ("11%", "10%"),
        ("(1, 2]", "[1, 2)"),
        (r"\sqrt{2}", r"\sqrt{3}"),
        ("6 7", "6"),
        ("3 4/1", "7"),
        # both in percent mean the same by it; a backslash alone is no percent; a space parts numbers
        ("0.5%", "50%"),
        ("1000%", r"10\%"),
        ("5\\", "0.05"),
        ("1 2", "12"),
        ("1 1/2", "11/2"),
        ("21/3", "2 1/3"),
        ("five", "5"),
        ("", "5"),
    ],
)
def test_wrong_answers(answer, reference):
    assert not right(answer, reference)


CALCULATIONS = [
    "3+4", "3 + 4", "14-7", "7*1", "7 x 1", r"7 \times 1", r"7\cdot1", "7·1", r"7 \div 1", "7^1", "49^{1/2}",
    "14/2/1", r"\frac{3+4}{1}", "(7)(1)", "7(1)", r"7\frac{7}{7}", "3 4/1", r"3\frac{4}{1}", "7!/720", "3!+1",
    "10_7", "7_{10}", "|-7|", "-(-7)", r"\int_0^7 1 dx", r"\sum_{i=1}^7 1", r"\prod_{i=7}^7 i",
    r"\binom{7}{1}", r"\gcd(7, 14)", r"\lfloor 7.5 \rfloor", "6=7", "8 = 7", "3+4 = 7", "7 = 3+4", "3x = 21",
    r"x = 3+4", r"\text{3+4}", r"(3+4)\text{ cm}", r"\sqrt{7^2}",
]  # fmt: skip


@pytest.mark.parametrize("reference", ["7", r"7\text{ cm}", "x = 7"])
@pytest.mark.parametrize("answer", CALCULATIONS)
def test_a_calculation_is_not_the_number_it_comes_to(answer, reference):
    """Algebra was asked, so 8 = 7 was right for 7, and a sum copied from its question for its value."""
    assert not right(answer, reference)


@given(
    st.lists(st.integers(0, 10**5), min_size=2, max_size=6),
    st.lists(
        st.sampled_from([" + ", " - ", "+", "-", "*", r"\times", r" \cdot "]),
        min_size=5,
        max_size=5,
    ),
    st.sampled_from(
        ["{}", "${}$", "{} = {}", "x = {}", "({})", r"{}\text{{ cm}}", r"\frac{{{}}}{{1}}"]
    ),
)
def test_no_expression_with_an_operator_is_right_for_its_value(terms, signs, dress):
    expression = str(terms[0])
    for sign, term in zip(signs, terms[1:], strict=False):
        expression += f"{sign}{term}"
    plain = expression.replace(r"\times", "*").replace(r"\cdot", "*")
    value = read_formula(plain).value
    assert not right(dress.format(expression, value), str(value))


@pytest.mark.parametrize(
    ("answer", "right_once"),
    [
        ("720 / 48", False),
        (r"\frac{30}{2}", False),
        (r"\sqrt{225}", False),
        ("p = 15", True),
        ("15.0", True),
    ],
)
def test_where_answers_have_one_form_nothing_is_left_to_do(answer, right_once):
    """What is 720 / 48? was answered by 720 / 48."""
    assert is_right(answer, Problem("?", "15", exact=True)) is right_once


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("9/12", "$3/4$", False),  # a fraction to simplify
        (r"\frac34", "$3/4$", True),
        ("(1 + x)(x - 1)", "x**2 - 1", False),
        (r"x^{2} - 1", "x**2 - 1", True),
        ("(-10.0 + 1.0i) + (-5.0 + 2.0i)", "-15.0 + 3.0i", False),
        ("-15 + 3i", "-15.0 + 3.0i", True),
        ("147", "3 × 7 × 7", False),
        (r"3 \times 7 \times 7", "3 × 7 × 7", True),
        ("37 × 7", "3 × 7 × 7", False),
        ("pear, apple", "apple, pear", False),
        ("[1, 2, 3]", "['1', '2', '3']", True),
    ],
)
def test_answers_of_one_form_are_compared_by_their_form(answer, reference, same):
    """Algebra finds a product equal to what it multiplies out to."""
    assert is_right(answer, Problem("?", reference, exact=True)) is same


@pytest.mark.parametrize("answer", ["1+x", "(x^2+x)/x"])
def test_algebra_judges_references_that_are_no_numbers(answer):
    assert right(answer, "x+1")


@given(st.integers(-(10**20), 10**20), st.integers(-(10**20), 10**20))
def test_whole_numbers_are_compared_exactly(a, b):
    assert right(str(a), str(b)) == (a == b)
    assert right(f"{a:,}", str(a))


@given(st.fractions(max_denominator=10**6), st.integers(1, 50))
def test_fractions_are_compared_by_value(value, factor):
    above, below = value.numerator * factor, value.denominator * factor
    sign = "-" if above < 0 else ""
    assert right(f"{above}/{below}", rf"{sign}\frac{{{abs(above)}}}{{{below}}}")
    assert not right(f"{above + 1}/{below}", f"{above}/{below}")


SPELLINGS = [
    "{}",
    "${}$",
    "**{}**",
    " {} .",
    r"\({}\)",
    "{}%",
    r"{}\%",
    "{}/1",
    "{}.0",
    r"\frac{{{}}}{{1}}",
    r"{} \frac{{0}}{{3}}",
    "{} 0/3",
]


@given(st.integers(0, 10**12), st.sampled_from(SPELLINGS))
def test_every_spelling_of_a_number_is_that_number_and_no_other(number, spelling):
    for shown in (f"{number}", f"{number:,}", f"{number:,}".replace(",", r"\,")):
        assert right(spelling.format(shown), str(number))
    wrong = spelling.format(f"{number + 1}")
    if "." not in wrong:  # decimals go to algebra, one by one
        assert not right(wrong, str(number))


@given(st.integers(1, 10**6), st.fractions(0, 1, max_denominator=1000))
def test_a_mixed_number_is_the_sum_of_its_parts(whole, part):
    """1 1/2 was taken for 11/2, as spaces were left out."""
    above, below = part.numerator, part.denominator + (part == 1)
    mixed, value = f"{whole} {above}/{below}", whole * below + above
    assert right(mixed, f"{value}/{below}")
    assert right(rf"{whole}\frac{{{above}}}{{{below}}}", mixed)
    run_together = f"{whole}{above}/{below}"
    if int(f"{whole}{above}") != value:  # as 1 7/10 and 17/10 are
        assert not right(mixed, run_together)
        assert not right(run_together, mixed)


def countdown(answer):
    return is_right(answer, Problem("?", "3*7 + 3", countdown=Countdown((7, 3, 3), 24)))


@pytest.mark.parametrize(
    "answer", ["3*7 + 3", "3+7×3", r"3 + 7 \times 3", "(3*7)+3 = 24", r"$3 \cdot 7 + 3$"]
)
def test_every_formula_of_the_numbers_that_makes_the_target_is_right(answer):
    assert countdown(answer)


@pytest.mark.parametrize(
    "answer", [r"\frac{8}{3-\frac{8}{3}}", r"$\dfrac{8}{3 - \frac{8}{3}} = 24$", "8/(3-8/3)"]
)
def test_fractions_within_fractions_are_formulas(answer):
    """The innermost one alone was read."""
    assert is_right(answer, Problem("?", "", countdown=Countdown((3, 3, 8, 8), 24)))


@pytest.mark.parametrize(
    "answer", ["24", "3*7*3", "3*7", "3*7+3+0", "3*7+3=25", "7**3", "3*(7+3)", "__import__('os')"]
)
def test_no_other_formula_is(answer):
    assert not countdown(answer)


@pytest.fixture
def _short_limit(monkeypatch):
    right(r"\sqrt{4}", "2")  # the worker has started
    monkeypatch.setattr(verifier, "SECONDS", 0.5)


HOSTILE = [
    "\x00\ud800",
    "__import__('os').system('true')",
    "9**9**9**9",
    "1" * 1_999,
    "1" * 1_000_000,
]


@pytest.mark.usefixtures("_short_limit")
@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_no_answer_hangs_the_grader(answer):
    assert not right(answer, "42")
    assert final_answer(rf"\boxed{{{answer}}}") is not None


@pytest.mark.usefixtures("_short_limit")
def test_an_answer_that_hangs_is_wrong_and_the_next_one_is_graded_again():
    assert not right("9^{9^{9^{9}}}", "42")
    verifier.SECONDS = 5.0
    assert right(r"\sqrt{49}", "7")


def test_an_answer_is_never_run_as_python(tmp_path):
    trap = tmp_path / "trap"
    for code in (f"open('{trap}','w')", rf"\text{{open('{trap}','w')}}"):
        assert not right(code, "42")
        assert not right("1", f"{code} + 1")
        assert not countdown(code)
    assert not trap.exists()


def test_the_worker_ends_with_its_process():
    code = (
        "from envs.math_tasks import verifier\n"
        "assert verifier.agree('2', r'\\sqrt{4}')\n"
        "print(verifier._worker._process.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for _ in range(100):
        if not _runs(int(done.stdout)):
            return
        time.sleep(0.05)
    raise AssertionError("the worker outlives its process")


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=300))
def test_every_text_has_an_answer_or_none(text):
    for wordy in (False, True):
        answer = final_answer(text, wordy=wordy)
        assert answer is None or answer.strip()
    countdown(text)


@pytest.mark.parametrize("gap", [" " * 400, "\n" * 400, "1" * 400, " 1" * 300])
def test_numbers_within_numbers_are_read_in_bounded_time(gap):
    """Defect: an answer of 450 letters took a second, one of 2,000 minutes, in the trainer's own process."""
    began = time.monotonic()
    assert not right(rf"\frac{{{gap}\frac{{{gap}{gap}x", "7")
    assert not right(rf"\frac{{{gap}1x", "7")
    assert time.monotonic() - began < 3 * verifier.SECONDS


def test_an_interrupted_question_does_not_answer_the_next(monkeypatch):
    """Defect: what came for it was taken for the next one's verdict, and so on for ever."""
    worker = verifier.Worker()
    wait = worker._wait

    def interrupted(seconds):
        monkeypatch.setattr(worker, "_wait", wait)
        raise KeyboardInterrupt

    assert worker.ask("x+1", "1+x", 20.0)
    monkeypatch.setattr(worker, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.ask("x+1", "1+x", 20.0)
    assert not worker.ask("x+1", "x+2", 20.0)
    assert worker.ask("x+1", "1+x", 20.0)
    worker.close()
