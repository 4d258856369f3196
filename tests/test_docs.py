"""What README and docs name is there: paths, links, commands with their options, public names, and the three flows."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

import bsig
from bsig.cli.main import COMMANDS
from bsig.inputs.paths import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "assets" / "docs").glob("*.md")))
FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
PATH = re.compile(r"(?<![\w./-])(?:bsig|tests|assets|checkpoints|\.ci)/[\w./*-]*[\w*]")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def code_in(page: Path) -> list[str]:
    """The lines of code blocks, and the inline code with its line breaks taken out."""
    text = page.read_text(encoding="utf-8")
    lines = [line.split("  # ")[0] for block in FENCE.findall(text) for line in block.splitlines()]
    return lines + [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def options_by_command() -> dict[str, set[str]]:
    """The options of each `python -m bsig` command."""
    options = {}
    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        if command.add_arguments:
            command.add_arguments(parser)
        options[command.name] = set(OPTION.findall(parser.format_help()))
    return options


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@each_page
def test_every_path_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {path for path in PATH.findall(text) if not any(ROOT.glob(path))} == set()
    assert re.findall(r"(?<![\w/])test_\w+\.py", text) == [], "a test file is named without its folder"


@each_page
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert {link for link in links if not (page.parent / link).is_file()} == set()


@each_page
def test_every_command_has_its_options(page: Path) -> None:
    commands = options_by_command()
    for code in code_in(page):
        for name, rest in re.findall(r"-m bsig ([\w-]+)(.*)", code):
            assert name in commands, code
            assert set(OPTION.findall(rest)) <= commands[name], code
        for script, rest in re.findall(r"python ([\w/]+\.py)(.*)", code):
            source = (ROOT / script).read_text(encoding="utf-8")
            assert {option for option in OPTION.findall(rest) if f'"{option}"' not in source} == set(), code


@each_page
def test_every_public_name_is_public(page: Path) -> None:
    names = {name for code in code_in(page) for name in re.findall(r"(?<![\w.])bsig\.([A-Za-z]\w*)", code)}
    assert names <= set(bsig.__all__)


def test_each_file_of_a_flow_is_imported_by_one_above_it() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    flows = [
        re.findall(r"`(bsig/[\w/]+\.py)`", line)
        for line in readme.splitlines()
        if line.startswith(("| explain |", "| train |", "| evaluate |"))
    ]
    assert len(flows) == 3
    for flow in flows:
        assert len(flow) > 5
        for position, file in enumerate(flow[1:], start=1):
            module = file.removesuffix(".py").replace("/", ".")
            above = [(ROOT / earlier).read_text(encoding="utf-8") for earlier in flow[:position]]
            assert any(f"from {module} import" in source for source in above), file
