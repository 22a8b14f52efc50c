"""Code in the documentation is taken from files that are built and run."""

import re
from pathlib import Path

import click
import pytest

from vton.cli import COMMANDS
from vton.errors import CATALOGUE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "lovable"
PAGES = sorted((ROOT / "docs").glob("frontend*.md"))
SNIPPET = re.compile(r"^```(?:tsx?|jsx?)\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_snippet_is_of_the_example(page: Path) -> None:
    snippets = SNIPPET.findall(page.read_text(encoding="utf-8"))

    assert len(snippets) >= 5
    for snippet in snippets:
        first, _, code = snippet.partition("\n")
        file = EXAMPLE / first.removeprefix("// ")
        assert code.rstrip("\n") in file.read_text(encoding="utf-8"), first


def test_both_languages_show_the_same_code() -> None:
    english, indonesian = (
        (ROOT / "docs" / name).read_text(encoding="utf-8")
        for name in ("frontend.md", "frontend.id.md")
    )

    assert set(SNIPPET.findall(indonesian)) <= set(SNIPPET.findall(english))


def test_every_code_is_explained_to_frontends() -> None:
    explained = (ROOT / "docs" / "frontend.md").read_text(encoding="utf-8")
    own = {"network", "timeout", "bad_answer", "cancelled"}

    assert {code for code in own | set(CATALOGUE) if f"`{code}`" not in explained} == set()


def test_the_prompt_says_what_the_example_does() -> None:
    prompt = (ROOT / "docs" / "lovable-prompt.md").read_text(encoding="utf-8")
    words = (EXAMPLE / "src" / "lib" / "words.ts").read_text(encoding="utf-8")

    table = prompt.partition("set <html lang>:")[2].partition("Messages and hints")[0]
    pairs = [pair.strip(" .\n").split(" = ") for pair in re.split(r";\s", table)]
    assert len(pairs) > 15
    for text in (text for pair in pairs for text in pair if "{" not in text):
        assert text in words, text
    for call in set(re.findall(r"vton\.(\w+)\(", prompt)):
        assert f"  {call}(" in (ROOT / "clients/js/vton-client.d.ts").read_text(encoding="utf-8")
    for variable in set(re.findall(r"VITE_\w+", prompt)) - {"VITE_SUPABASE_PUBLISHABLE_KEY"}:
        assert variable in (EXAMPLE / ".env.example").read_text(encoding="utf-8")


def test_each_alarm_and_each_alert_is_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    code = "".join(path.read_text() for path in (ROOT / "vton").rglob("*.py"))
    alarms = [said.split(":")[0].strip() for said in re.findall(r'"ALARM ([^"%]+)', code)]
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "docs" / "deploy" / "alerts.yml").read_text())

    assert len(alarms) >= 6
    assert len(alerts) >= 16
    assert [said for said in [*alarms, *alerts] if f"`{said}`" not in runbook] == []


def test_each_command_is_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    def names(command: click.Command) -> list[str]:
        inner = getattr(command, "commands", {})
        return [f"{command.name} {name}" for name in inner] or [str(command.name)]

    table = runbook[runbook.index("| command | |") :].split("\n\n")[0]
    missing = [
        name
        for command in COMMANDS
        for name in names(command)
        if not all(re.search(rf"`[^`]*\b{word}\b", table) for word in name.split())
    ]
    assert missing == []
