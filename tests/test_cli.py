"""The command line as a whole: exit statuses, errors, streams, and what is printed where."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from _commands import ROOT, Shell, shell, site

__all__ = ["shell", "site"]

QUICK = ("--verify", "none")


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        ((), 2, "bad-input"),
        (("frobnicate",), 2, "bad-input"),
        (("apply",), 2, "bad-input"),
        (("apply", "two.onnx"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "nothing"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "typed:length=3"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "typed:count=few"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "typed:count"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--frob"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--verify", "maybe"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--rtol", "-1"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--rtol", "nan"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--seed", "-1"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--probe", "2,4"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--probe", "z:2,4"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--inputs", "absent.npz"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--reference", "absent.npz"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "--probe", "x:2,4", *QUICK), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "wrong", "-o", "absent/out.onnx"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "hardswish", "-o", "two.onnx"), 2, "bad-input"),
        (("apply", "absent.onnx", "--pass", "wrong"), 2, "bad-input"),
        (("apply", ".", "--pass", "wrong"), 2, "bad-input"),
        (("apply", "two.onnx", "--recipe", "absent.toml"), 2, "bad-input"),
        (("apply", "two.onnx", "--pass", "refusing"), 3, "refused"),
        (("apply", "two.onnx", "--pass", "homeless"), 4, "missing"),
        (("apply", "two.onnx", "--pass", "broken"), 70, "fault"),
        (("apply", "two.onnx", "--pass", "endless"), 130, "interrupted"),
        (("verify", "two.onnx"), 2, "bad-input"),
        (("verify", "two.onnx", "absent.onnx"), 2, "bad-input"),
        (("verify", "two.onnx", "two.onnx", "--match", "colour"), 2, "bad-input"),
        (("inspect", "absent.onnx"), 2, "bad-input"),
        (("show", "nothing"), 2, "bad-input"),
        (("list", "--kind", "colour"), 2, "bad-input"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else None,
)
def test_errors(shell: Shell, words: tuple[str, ...], status: int, kind: str) -> None:
    done = shell.run(*words)
    assert (done.status, done.out) == (status, ""), done.err
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert shell.files == {"two.onnx"}

    same = shell.run(*words, "--json")
    assert same.err == ""
    assert set(same.document) == {"schema", "error"}
    assert same.document["schema"] == 1
    error = same.document["error"]
    assert (error["kind"], error["exit"], same.status) == (kind, status, status)
    assert set(error) == {"kind", "what", "where", "cure", "exit"}
    assert error["what"].splitlines()[0][:40] in done.err


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        (("frobnicate",), "apply"),
        ((), "apply"),
        (("show", "nothing"), "gridsample"),
        (("apply", "two.onnx"), "gridsample"),
        (("apply", "two.onnx", "--pass", "nothing"), "gridsample"),
        (("apply", "two.onnx", "--pass", "typed:length=3"), "count"),
        (("apply", "two.onnx", "--pass", "hardswish:form=round"), "clip"),
        (("show", "hardswich"), "did you mean 'hardswish'?"),
        (("show", "atx"), "did you mean 'atc'?"),
        (("apply", "two.onnx", "--pass", "wrong", "--verify", "maybe"), "sites"),
    ],
)
def test_an_unknown_name_brings_those_there_are(shell: Shell, words: tuple[str, ...], listed: str) -> None:
    assert listed in shell.run(*words).err


def test_an_error_says_what_where_and_what_to_do(shell: Shell) -> None:
    lines = shell.run("apply", "two.onnx", "--pass", "refusing").err.splitlines()
    assert lines == ["error: pass 'refusing': the operator can't be spelt", "  at b", "  ask for less"]


def test_debug_shows_where(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "broken", "--debug", "--json")
    assert "ZeroDivisionError" in done.err and "Traceback" in done.err
    assert done.document["error"]["kind"] == "fault"


def test_without_debug_a_fault_says_how_to_see_it(shell: Shell) -> None:
    assert "--debug" in shell.run("apply", "two.onnx", "--pass", "broken").err


@pytest.mark.parametrize("words", [["--help"], ["apply", "--help"], ["verify", "--help"], ["--version"]])
def test_help_and_version(shell: Shell, words: list[str]) -> None:
    done = shell.run(*words)
    assert (done.status, done.err) == (0, "")
    assert "surgery" in done.out


@pytest.mark.parametrize("words", [["--help"], ["apply", "--help"], ["--version"]])
@pytest.mark.parametrize("first", [False, True])
def test_help_and_version_as_a_document(shell: Shell, words: list[str], first: bool) -> None:
    done = shell.run(*(["--json", *words] if first else [*words, "--json"]))
    assert (done.status, done.err) == (0, "")
    assert done.document == {"schema": 1, "text": shell.run(*words).out}


def test_what_is_left_over_is_told_by_the_verb(shell: Shell) -> None:
    for words, hint in (
        (("apply", "two.onnx", "--dryrun"), "did you mean '--dry-run'? 'surgery apply --help'"),
        (("apply", "two.onnx", "two"), "'surgery apply --help'"),
        (("verify", "a", "b", "c"), "'surgery verify --help'"),
        (("--dryrun", "list"), "'surgery --help'"),
    ):
        done = shell.run(*words)
        assert (done.status, hint in done.err) == (2, True), done.err


def test_a_process_that_can_not_be_started(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(shell.folder / "no-python"))
    for words in (("apply", "two.onnx", "--pass", "hardswish"), ("verify", "two.onnx", "two.onnx")):
        done = shell.run(*words)
        assert (done.status, "can't be started" in done.err) == (4, True), done.err
    assert shell.files == {"two.onnx"}


def test_common_options_hold_before_and_after_the_verb(shell: Shell) -> None:
    assert shell.run("--json", "list").document == shell.run("list", "--json").document


def test_both_entry_points_lead_here() -> None:
    from importlib.metadata import entry_points

    found = {p.name: p.value for p in entry_points(group="console_scripts") if "surgery" in p.name}
    assert found == {"surgery": "surgery.cli:main", "onnx-surgery": "surgery.cli:main"}


@pytest.mark.parametrize(
    ("options", "environment", "coloured"),
    [
        ((), {}, False),
        (("--color", "always"), {}, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        ((), {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
    ],
)
def test_colour_in_a_pipe(shell: Shell, options: tuple[str, ...], environment: dict[str, str], coloured: bool) -> None:
    done = shell.spawn("verify", "two.onnx", "two.onnx", *options, **environment)
    assert done.status == 0, done.err
    assert ("\x1b[" in done.out) == coloured
    assert done.err == ""


@pytest.mark.parametrize(
    ("options", "environment", "coloured", "progress"),
    [
        ((), {}, True, True),
        ((), {"NO_COLOR": "1"}, False, True),
        (("--color", "never"), {}, False, True),
        (("--quiet",), {}, True, False),
        ((), {"TERM": "dumb"}, False, False),
    ],
)
def test_on_a_terminal(
    shell: Shell, options: tuple[str, ...], environment: dict[str, str], coloured: bool, progress: bool
) -> None:
    shown = on_terminal(shell, ["verify", "two.onnx", "two.onnx", *options], environment)
    assert "equal" in shown
    assert ("\x1b[32m" in shown) == coloured
    assert ("\r\x1b[K" in shown) == progress


def on_terminal(shell: Shell, words: list[str], environment: dict[str, str]) -> str:
    """What appears on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "surgery", *words],
        cwd=shell.folder,
        env={k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
        | environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # Linux's way to say that the other side has gone
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_verbose_prints_every_step(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "--verbose", "--json")
    assert {"reading", "hardswish", "writing", "comparing"} <= set(done.err.splitlines())
    assert done.document["verdict"] == "equal"


def test_quiet_leaves_the_last_line(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "--quiet")
    assert done.out.startswith("wrote ") and done.out.count("\n") == 1
    assert done.err == ""


def test_quiet_and_verbose_of_inspect(shell: Shell) -> None:
    assert shell.run("inspect", "two.onnx", "-q").out.endswith("ai.onnx 16, 3 nodes\n")
    assert shell.run("inspect", "two.onnx", "-q").out.count("\n") == 1
    assert shell.run("inspect", "two.onnx", "-q", "--node", "*").out == "3 nodes\n"
    shell.run("apply", "two.onnx", "--pass", "hardswish", "--provenance", "-o", "noted.onnx", *QUICK)
    assert '[{"pass":' not in shell.run("inspect", "noted.onnx").out
    assert '[{"pass":' in shell.run("inspect", "noted.onnx", "-v").out


def test_a_reader_who_leaves_does_not_change_the_status(shell: Shell) -> None:
    command = [sys.executable, "-m", "surgery", "apply", "two.onnx", "--pass", "hardswish"]
    process = subprocess.Popen(
        command,
        cwd=shell.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0
    assert shell.files == {"two.onnx", "two.surgery.onnx"}


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_runs_without_a_stream(shell: Shell, redirection: str) -> None:
    command = f"{sys.executable} -m surgery inspect two.onnx {redirection}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=shell.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_can_not_show_a_character(shell: Shell) -> None:
    done = shell.spawn("show", "hardswish", PYTHONIOENCODING="ascii")
    assert done.status == 0, done.err
    assert "\\u2500\\u2500 HardSwish" in done.out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_behind(shell: Shell, number: signal.Signals, status: int) -> None:
    # So large a probe takes a second, and the new model waits beside its target meanwhile.
    words = ["apply", "two.onnx", "--pass", "hardswish", "--probe", "x:4000000,4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "surgery", *words],
        cwd=shell.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, they hand down that an interrupt is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while shell.files == {"two.onnx"} and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in said
    assert shell.files == {"two.onnx"}


def test_a_file_of_the_user_is_not_imported(shell: Shell) -> None:
    (shell.folder / "onnx.py").write_text("raise SystemExit('hijacked')\n")
    script = Path(sys.executable).with_name("surgery")
    if not script.exists():
        pytest.skip("surgery is not installed")
    done = subprocess.run([script, "inspect", "two.onnx"], cwd=shell.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
