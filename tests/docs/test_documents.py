"""The documents tell the truth: commands exist, links lead somewhere, tables are models, and nothing is of one machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
names = [str(d.relative_to(ROOT)) for d in DOCUMENTS]
MADE_BY_JOURNEYS = {"docs/images/today.png"}  # the tests in a browser take this picture


def commands():
    """The command line's commands, as click knows them."""
    from topline.cli import commands as registered  # the module that registers them

    return typer.main.get_command(registered.app).commands


def told_commands(text):
    """Every `topline ...` in blocks of shell and in single words of code."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(topline [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [re.sub(r"^(\w+=\S+ )+", "", line) for line in lines]
    return [line for line in found if line.startswith("topline ")]


def test_there_are_documents_and_they_tell_commands():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/glossary.md", "docs/metrics.md"} <= set(names)
    assert sum(len(told_commands(d.read_text())) for d in DOCUMENTS) > 30


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_every_command_in_a_document_exists_with_its_options(document):
    known = commands()
    for line in told_commands(document.read_text()):
        words = shlex.split(line)[1:]
        assert words[0] in known, line
        command = known[words[0]]
        if subcommands := getattr(command, "commands", None):
            assert words[1] in subcommands, line
            command, words = subcommands[words[1]], words[1:]
        parameters = command.params
        options = {option for p in parameters for option in p.opts if p.param_type_name == "option"}
        assert {w for w in words[1:] if w.startswith("--")} <= options, line
        values, extra, _ = command.make_parser(command.context_class(command)).parse_args(words[1:])
        assert not extra, line
        missing = [p.name for p in parameters if p.required and values.get(p.name) is None]
        assert not missing or len(words) == 1, f"{line}: {missing}"  # a bare name is the command itself, spoken of in a sentence


def test_every_command_is_told_in_some_document():
    told = {shlex.split(line)[1] for d in DOCUMENTS for line in told_commands(d.read_text())}
    assert set(commands()) <= told


def test_every_kind_of_import_is_told_in_the_guide():
    from topline.connect.actions import KINDS

    text = (ROOT / "docs/guide/import.md").read_text()
    assert all(f"topline import {kind} FILE" in text and f"| {kind} |" in text for kind in KINDS)


def test_every_make_target_in_a_document_exists():
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{document.name}: make {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_every_link_between_documents_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        if str(found.relative_to(ROOT)) not in MADE_BY_JOURNEYS:
            assert found.exists(), f"{document.name} links to {target}"
        if anchor:
            heads = [
                re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
                for h in re.findall(r"^#+ (.*)$", found.read_text(), re.M)
            ]
            assert anchor in heads, f"{document.name} links to {target}"


def test_every_page_of_documents_is_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = [t.partition("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if not t.startswith("http")]
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert set(DOCUMENTS) == seen


def test_every_table_of_the_glossary_is_a_model_and_every_term_stands_once():
    rows = re.findall(r"^\| ([^|]+) \|[^|]+\|[^|]+\| `(\w+)\.(\w+)` \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(rows) > 30
    for term, room, model in rows:
        assert apps.get_model(room, model).__name__ == model, term
    assert len({term for term, *_ in rows}) == len(rows)


def test_every_variable_of_the_environment_is_told():
    text = (ROOT / "docs/guide/operations.md").read_text()
    read = set(re.findall(r"TOPLINE_[A-Z_]+", (ROOT / "src/topline/config/environment.py").read_text()))
    assert {name for name in read if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_no_document_holds_a_path_of_one_machine_or_the_address_of_a_registry(document):
    text = document.read_text()
    assert not re.search(r"(?<![\w.:/])/(?:work|home|root|tmp|usr|var|opt|Users)/", text)
    assert not re.search(r"pypi\.|pythonhosted|npmjs|index-url|docker\.io", text, re.IGNORECASE)
    assert "../shared" not in text


def test_the_picture_of_the_house_is_plain_and_readable_in_light_and_dark():
    picture = (ROOT / "docs/images/house.svg").read_text()
    assert "prefers-color-scheme: dark" in picture
    assert "<title" in picture and "<desc" in picture
    assert "<script" not in picture and "href" not in picture
    rooms = {p.name for p in (ROOT / "src/topline").iterdir() if (p / "models.py").exists()}
    assert {"kernel", "books", "market", "billing", "receivables", "treasury"} <= rooms
    assert all(room in picture for room in ("kernel", "books", "timeline", "market", "billing", "receivables", "treasury"))
