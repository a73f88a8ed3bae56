"""The documentation: builds strictly, links and commands that work, files that exist, and a README that stays short."""

from __future__ import annotations

import functools
import importlib
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tools.docs_commands import help_of, scripts, subcommands

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGE_OF_PAST_COMMANDS = ROOT / "docs/results/benchmarks.md"
"""Commands stand there as they ran on their day."""
README_MAX_BYTES = 9_000
README_MAX_WORDS, README_MAX_MEAN_WORDS = 30, 18
"""Of a sentence."""
BUILD_TIMEOUT_S = 300
"""Only so that a build that hangs ends."""

FENCE = re.compile(r"^( *)(```+|~~~+)(\w*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|[\s(])(mcore-[a-z]+|(?:python3?|torchrun\b.*?) -m (mcore[\w.]*))(?=\s|$)")
FLAG = re.compile(r"(?<![\w-])(--[a-z][\w.-]*)")
REPOSITORY_PATH = re.compile(r"(?:mcore|export|runtime|benchmarks|tools|tests|deploy|docs|\.ci)/[\w./*-]+")
PYTHON_NAME = re.compile(r"(mcore(?:_export|_runtime|_bench)?(?:\.\w+)+)(?:\(.*\))?")
PAGE_IN_CODE = re.compile(r"\bdocs/[\w/.-]+\.(?:md|jpg|png|svg)")
NETWORK_SECTION = re.compile(r"(?:NETWORK:|network\.md,) sections? (\d)(?: and (\d))?")
OTHER_PROGRAMS = {"--restart", "--gpus", "--model-repository", "--system-site-packages"}
"""Flags that are not ours and stand alone in a sentence."""
NO_COMMANDS = {"mcore-edge", "mcore-service"}
"""The distribution, which is also the name of its service, and the script that the service runs."""


def pages(*left_out: Path) -> pytest.MarkDecorator:
    chosen = [page for page in PAGES if page not in left_out]
    return pytest.mark.parametrize("page", chosen, ids=[str(path.relative_to(ROOT)) for path in chosen])


def test_site_builds_strictly(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        if not _is_installed(package):
            pytest.skip(f"{package} is not installed: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    paths = os.pathsep.join([*(str(ROOT / name) for name in (".", "export", "runtime", "benchmarks")), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    shown = (tmp_path / "reference/commands.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in shown for name in scripts()), "a command has no section"
    fetched = [
        address
        for page in tmp_path.rglob("*.html")
        for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text("utf-8"))
    ]
    assert not fetched, "pages fetch from elsewhere, and would be broken poolside"


def test_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= README_MAX_BYTES
    lengths = {sentence: len(sentence.split()) for sentence in _sentences(text)}
    assert max(lengths.values()) <= README_MAX_WORDS, max(lengths, key=lambda sentence: lengths[sentence])
    assert sum(lengths.values()) / len(lengths) <= README_MAX_MEAN_WORDS


@pages()
def test_links_outside_the_site_lead_to_files(page: Path) -> None:
    """Those between pages of the site are checked by its strict build."""
    text = page.read_text(encoding="utf-8")
    for link in LINK.findall(FENCE.sub("", text)):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if (ROOT / "docs") in page.parents and (ROOT / "docs") in target.parents:
            continue
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


@pages(PAGE_OF_PAST_COMMANDS)
def test_commands_have_the_flags_that_are_shown(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for line in (*_shell_lines(text), *INLINE.findall(FENCE.sub("", text))):
        for command, flags in _uses(line):
            known = {*FLAG.findall(_full_help(command)), "--help", "--version"}
            assert not (unknown := [flag for flag in flags if flag not in known]), f"{command} has no {unknown}: {line}"


@pages(PAGE_OF_PAST_COMMANDS)
def test_flags_in_sentences_belong_to_a_command(page: Path) -> None:
    for code in INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if code.startswith("--"):
            assert code.split()[0].partition("=")[0] in _all_flags() | OTHER_PROGRAMS, code


@pages()
def test_files_and_names_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for code in INLINE.findall(text):
        if REPOSITORY_PATH.fullmatch(code):
            assert any(ROOT.glob(code.rstrip("/"))), code
        elif (found := PYTHON_NAME.fullmatch(code)) and not code.endswith((".py", ".md", ".json")):
            assert _resolves(found[1]), code


def test_code_points_to_pages_that_exist() -> None:
    sections = set(re.findall(r"^## (\d)\.", (ROOT / "docs/reference/network.md").read_text("utf-8"), re.MULTILINE))
    for path in _source_files():
        text = path.read_text(encoding="utf-8")
        for name in PAGE_IN_CODE.findall(text):
            assert (ROOT / name).exists(), f"{path}: {name}"
        for numbers in NETWORK_SECTION.findall(text):
            assert {number for number in numbers if number} <= sections, f"{path}: section {numbers} of network.md"


@pages()
def test_python_examples_compile(page: Path) -> None:
    for _, _, language, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(textwrap.dedent(body), str(page), "exec")


def _sentences(markdown: str) -> Iterator[str]:
    """Sentences of paragraphs and lists, without code, tables and headings."""
    text = LINK.sub(lambda link: link[0].partition("](")[0].lstrip("!["), FENCE.sub("\n\n", markdown))
    lines = (line for line in text.splitlines() if not line.lstrip().startswith(("|", "#", "<")))
    for block in re.split(r"\n\s*\n|\n(?=\* )", "\n".join(lines)):
        yield from (s for s in re.split(r"(?<=[.:!?])\s+", block.strip(" *\n")) if len(s.split()) > 1)


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _shell_lines(markdown: str) -> Iterator[str]:
    for _, _, language, body in FENCE.findall(markdown):
        if language in ("", "sh", "bash", "console", "text"):
            yield from re.sub(r"\\\n\s*", " ", body).splitlines()


def _uses(line: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of a shell line, with the flags that each is given."""
    code = re.sub(r"(^|\s)#.*", "", line)
    for part in re.split(r"[|;]|&&", code):
        if not (found := COMMAND.search(part)) or part.strip().startswith("usage:"):
            continue
        command = f"python -m {found[2]}" if found[2] else found[1]
        if command in NO_COMMANDS:
            continue
        words = part[found.end() :]
        if command == "python -m mcore.ablate":  # what follows -- goes to the trainings
            words, _, passed_on = words.partition(" -- ")
            yield "python -m mcore.train", FLAG.findall(passed_on)
        name = words.split()[0] if words.split() else ""
        yield f"{command} {name}" if name in subcommands(command) else command, FLAG.findall(words)


@functools.cache
def _full_help(command: str) -> str:
    """Help of a command, or of one of its subcommands; a preset's values are no other flags."""
    head, _, name = command.rpartition(" ")
    return help_of(head, name) if head and head != "python -m" else help_of(command)


@functools.cache
def _all_flags() -> frozenset[str]:
    modules = ["mcore.train", "mcore.evaluate", "mcore.audit", "mcore.compare", "mcore.ablate"]
    modules += ["mcore.pretrain", "mcore.train_spotter"]
    helps = [help_of(f"python -m {name}") for name in modules]
    for name in scripts():
        helps += [help_of(name), *(help_of(name, word) for word in subcommands(name))]
    return frozenset(["--help", "--version", *FLAG.findall("\n".join(helps))])


@functools.cache
def _resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if _is_installed(".".join(parts[:length])):
            found: Any = importlib.import_module(".".join(parts[:length]))
            for attribute in parts[length:]:
                if not hasattr(found, attribute) and attribute not in getattr(found, "__dataclass_fields__", {}):
                    return False
                found = getattr(found, attribute, None)
            return True
    return False


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a parent is missing
        return False


def _source_files() -> list[Path]:
    folders = ("mcore", "export", "runtime", "benchmarks", "tools", "deploy")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    endings = {".py", ".js", ".sh", ".cpp", ".hpp", ".cu", ".service", ".env", ".html", ""}
    return [path for path in found if path.suffix in endings and "__pycache__" not in path.parts]
