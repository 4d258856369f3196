"""`.ci/constraints.txt` pins what `requirements.txt` and `.ci/requirements.txt` allow, once a package and Python."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
FILES = ("requirements.txt", ".ci/requirements.txt")


def lines_of(file: str, python: str) -> list[Requirement]:
    """The lines of a file that count on one Python."""
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    requirements = [Requirement(line) for line in lines if line]
    return [line for line in requirements if line.marker is None or line.marker.evaluate(environment)]


def name_of(requirement: Requirement) -> str:
    return re.sub(r"[-_.]+", "-", requirement.name).lower()


@pytest.mark.parametrize("python", PYTHONS)
def test_each_package_is_pinned_once_to_a_release_that_the_requirements_allow(python: str) -> None:
    pins = lines_of(".ci/constraints.txt", python)
    assert len({name_of(pin) for pin in pins}) == len(pins)
    releases = {name_of(pin): str(pin.specifier).removeprefix("==") for pin in pins}
    for requirement in (line for file in FILES for line in lines_of(file, python)):
        release = releases.get(name_of(requirement))
        assert release, f"{requirement.name} has no pin; run .ci/make_constraints"
        assert requirement.specifier.contains(release), f"{requirement.name} {release}; run .ci/make_constraints"


def test_the_constraints_name_no_host_and_nothing_but_releases() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pin = re.compile(r'[a-z0-9-]+==[0-9a-z.]+(; python_version == "3\.\d+"( or python_version == "3\.\d+")*)?')
    assert all(line.startswith("#") or pin.fullmatch(line) for line in lines)


def test_the_header_is_the_one_that_its_maker_writes() -> None:
    text = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8")
    assert text.startswith(runpy.run_path(str(ROOT / ".ci" / "make_constraints"))["HEADER"])
