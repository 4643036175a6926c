"""What the README and docs/ say is there: links, places in the tree, commands, options, imports."""

import argparse
import ast
import contextlib
import importlib
import importlib.util
import io
import itertools
import re
import shlex
import string

import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.cli.main import COMMANDS, parse

README_WIDTH = 100
TOPS = ("core", "prepare_data", "tools", "model", "example", "tests", "gluon_mtcnn")
# Options in the docs that are those of other programs: pip, Dask.
FOREIGN_OPTIONS = {"--no-deps", "--nworkers", "--nthreads"}
# What an example leaves out as `...`, by what its command cannot do without.
LEFT_OUT = {"launch": [], "train": ["onet", "--data", "DIR", "--out", "DIR"], "prepare": []}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FRACTION = re.compile(r"(?<![\w.)\]}*/])\.\d")  # .6, where 0.6 is the rule; not the end of 1...5 or of a glob


def pages(checkout):
    """Return the Markdown files that users read, by their paths from the checkout."""
    found = [checkout / "README.md", *(checkout / "docs").glob("*.md"), *(checkout / "model").rglob("*.md")]
    found += (checkout / "example").glob("*.md")
    return {str(path.relative_to(checkout)): path for path in sorted(found)}


def blocks(text):
    """Yield the code blocks of a page, fenced and indented ones."""
    yield from (match[2] for match in FENCE.finditer(text))
    plain = FENCE.sub("", text)
    for indented, lines in itertools.groupby(plain.splitlines(), lambda line: line.startswith("    ")):
        if indented:
            yield "\n".join(line[4:] for line in lines) + "\n"


def spans(text):
    """Return the code spans of a page, those in code blocks aside."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def anchors(text):
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def shell_lines(block):
    """Yield the lines of a block as a shell sees them: continued lines joined, variables of earlier lines put in."""
    variables = {}
    for line in block.replace("\\\n", " ").splitlines():
        variables |= dict(re.findall(r"(?:^|; )([A-Z]+)=(\S+?)(?=;|$)", line))
        yield string.Template(line).safe_substitute(variables)


def command_lines(text):
    """Return the words after `gluon-mtcnn` of each command line of a page, in blocks and in code spans."""
    lines = [line for block in blocks(text) for line in shell_lines(block)] + spans(text)
    found = []
    for line in lines:
        match = re.match(r"\s*(?:[A-Z_]+=\S+ )*gluon-mtcnn (.+)", line)
        if match:
            found.append(shlex.split(match[1], comments=True))
    return found


def command_name(words):
    """Return the command of a command line, one word or two; None where it names none."""
    return next((name for n in (2, 1) if (name := " ".join(words[:n])) in COMMANDS), None)


@pytest.fixture(scope="module")
def known_options(checkout):
    """Return every option that the help of a command shows, and those of Seanlinx/mtcnn that example/ takes."""
    shown = set(re.findall(r"--[a-z_][\w-]*", (checkout / "tools" / "seanlinx" / "command.py").read_text()))
    for name in COMMANDS:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
            parse([*name.split(), "--help"])
        shown |= set(re.findall(r"--[a-z][\w-]*", text.getvalue()))
    return shown | FOREIGN_OPTIONS


def names_defined(path):
    """Return the names that a module defines or imports at its top level, and the members of its classes."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return names


def place_of(checkout, dotted):
    """Return whether `core.ops.nms.legacy_order` and the like lead to a module, or to a name in one."""
    parts = dotted.removeprefix("gluon_mtcnn.").split(".")
    for n in range(len(parts), 0, -1):
        folder = checkout.joinpath(*parts[:n])
        module = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        if module.is_file():
            return n == len(parts) or parts[n] in names_defined(module)
    return False


def test_relative_links_lead_somewhere(checkout):
    broken = []
    for name, path in pages(checkout).items():
        for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", path.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            there = (path.parent / target).resolve() if target else path
            if not there.exists() or (anchor and anchor not in anchors(there.read_text())):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_lines_of_the_readme_are_short(checkout):
    lines = (checkout / "README.md").read_text().splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > README_WIDTH] == []


def test_decimal_fractions_have_a_leading_zero(checkout):
    """A value of a command line is written as people type it: `--thresholds .6,.7,.7`."""
    found = []
    for name, path in pages(checkout).items():
        prose = FENCE.sub("", path.read_text())
        prose = re.sub(r"^    .*$", "", prose, flags=re.MULTILINE)
        prose = re.sub(r"`[^`\n]*`", "", prose)
        found += [f"{name}: {line}" for line in prose.splitlines() if FRACTION.search(line)]
    assert found == []


def test_files_and_modules_that_are_named_exist(checkout):
    missing = []
    path_like = re.compile(rf"(?:{'|'.join(TOPS)})/[\w/.-]*")
    dotted = re.compile(rf"(?:gluon_mtcnn\.)?(?:{'|'.join(TOPS[:4])})(?:\.\w+)+")
    own_words = {"model/pnet", "model/rnet", "model/onet"}  # prefixes of checkpoints in examples of commands
    for name, path in pages(checkout).items():
        for span in spans(path.read_text()):
            span = span.partition("(")[0]
            if path_like.fullmatch(span) and not (checkout / span).exists() and not span.startswith(tuple(own_words)):
                missing.append(f"{name}: {span}")
            if dotted.fullmatch(span) and not span.endswith((".json", ".md", ".py")) and not place_of(checkout, span):
                missing.append(f"{name}: {span}")
    assert missing == []


def test_architecture_names_every_room(checkout):
    spec = importlib.util.spec_from_file_location("layering", checkout / "tests" / "test_layering.py")
    layering = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(layering)
    text = (checkout / "docs" / "architecture.md").read_text()
    rooms = [room.replace(".", "/") for room in layering.ROOMS if "." in room]
    assert [room for room in rooms if f"`{room}`" not in text and f"`{room}.py`" not in text] == []


def test_python_examples_import_what_is_there(checkout):
    imports = []
    for path in pages(checkout).values():
        text = path.read_text()
        for block in blocks(text):
            imports += re.findall(r"^from (gluon_mtcnn[\w.]*) import ([\w, ]+)$", block, re.MULTILINE)
        imports += re.findall(r"`from (gluon_mtcnn[\w.]*) import ([\w, ]+)`", text)
    assert len(imports) > 5
    for module, names in imports:
        found = importlib.import_module(module)
        assert [n for n in names.split(", ") if not hasattr(found, n)] == [], module


def test_python_blocks_parse(checkout):
    blocks_of = {name: FENCE.findall(path.read_text()) for name, path in pages(checkout).items()}
    parsed = [ast.parse(block) for found in blocks_of.values() for kind, block in found if kind == "python"]
    assert len(parsed) > 5


def test_command_lines_parse(checkout):
    tried = 0
    for name, path in pages(checkout).items():
        for words in command_lines(path.read_text()):
            command = command_name(words)
            bare = command is not None and len(words) == len(command.split())
            if bare or words[0] == "COMMAND" or not any(w.startswith("-") for w in words):
                assert command or words[0] == "COMMAND" or words[0].islower(), f"{name}: {words}"
                continue
            at = words.index("--") if "--" in words else None
            for part in (words[:at], words[at + 1 :] if at is not None else None):
                if part:
                    check_parses(f"{name}: gluon-mtcnn {' '.join(words)}", part, launches=at is not None)
                    tried += 1
    assert tried > 50


def check_parses(where, words, launches):
    """Parse one command line; what it leaves out as `...` is put in."""
    filled = [w for word in words for w in (LEFT_OUT.get(words[0], []) if word == "..." else [word])]
    filled += ["--", "train"] if launches and words[0] == "launch" else []
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            args, _ = parse(filled)
    except (SystemExit, InputError) as error:
        pytest.fail(f"{where}: {stderr.getvalue() or error}")
    assert isinstance(args, argparse.Namespace)


def test_options_that_are_named_exist(checkout, known_options):
    unknown = []
    for name, path in pages(checkout).items():
        for span in spans(path.read_text()):
            named = re.findall(r"(?<![\w-])--[a-z_][\w-]*", span)
            unknown += [f"{name}: {option}" for option in named if option not in known_options]
    assert unknown == []


@pytest.mark.parametrize(
    ("dotted", "there"),
    [
        ("core.ops.nms.legacy_order", True),
        ("core.ops.nms", True),
        ("core.ops", True),
        ("core.ops.no_such_module", False),
        ("core.ops.nms.no_such_name", False),
        ("gluon_mtcnn.core.nets.mtcnn.PReLU", True),
    ],
)
def test_place_of(checkout, dotted, there):
    assert place_of(checkout, dotted) is there


def test_shell_lines_put_variables_in():
    block = "W=photos; A=boxes.txt\ngluon-mtcnn prepare pnet --wider-images $W \\\n    --wider-annotations $A\n"
    assert list(shell_lines(block))[1].split()[-3:] == ["photos", "--wider-annotations", "boxes.txt"]
