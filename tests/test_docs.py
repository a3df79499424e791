"""The site of `docs/` builds without a network, the code map is as the tree, the papers around the code are in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import exomni

REPOSITORY = Path(__file__).resolve().parents[1]
FETCHED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^"' >]+""")


def test_the_code_map_is_as_the_tree():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git checkout: what belongs to the project cannot be told from what its user added")
    command = [sys.executable, REPOSITORY / "docs" / "code_map.py", "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_site_builds_and_its_pages_fetch_nothing(tmp_path):
    pytest.importorskip("material", reason="the site needs the extra `docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    result = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert {path.stem for path in pages} >= {path.stem for path in (REPOSITORY / "docs").glob("*.md")}
    assert not {address for path in pages for address in FETCHED.findall(path.read_text())}


def test_links_of_pages_outside_the_site_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        for address in re.findall(r"\]\(([^)#]+)[^)]*\)", (REPOSITORY / name).read_text()):
            assert address.startswith("https://") or (REPOSITORY / address).exists(), f"{name}: {address}"


def test_the_citation_names_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == exomni.__version__
    assert citation["message"] and citation["title"] and all(author["name"] for author in citation["authors"])


def test_hooks_of_pre_commit_are_local_and_name_tools_of_the_extras():
    repos = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    tools = {hook["entry"].split()[0] for hook in repos[0]["hooks"]}
    assert tools == {f".venv/bin/{name}" for name in ("ruff", "mypy", "lint-imports", "python")}
