"""What a check tells, and how it is written down."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

REPORT = 'report it, with all of these lines'


class Stop(Exception):
    """What a check looks at cannot be used, so the check ends, and those that need it are not tried."""


@dataclass
class Finding:
    """Something that is to be mended.

    Attributes:
        section (str): Of the check that found it.
        what (str): What is wrong.
        todo (str): What to do about it; empty where ``what`` says so itself.
    """

    section: str
    what: str
    todo: str = ''


@dataclass
class Section:
    """What one check tells.

    Attributes:
        title (str): Its name.
        facts (list[tuple[str, str]]): Names and values, in the order in which they are told.
        findings (list[Finding]): What is to be mended. Defaults to none.
        noise (list[str]): What libraries have printed meanwhile. Defaults to nothing.
        usable (bool): Whether checks that need this one may go on. Defaults to True.
    """

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    usable: bool = True

    def say(self, name: str, value: object) -> None:
        """Tell a fact."""
        self.facts.append((name, str(value)))

    def find(self, what: object, todo: str = '') -> None:
        """Tell of something to be mended."""
        self.findings.append(Finding(self.title, str(what).strip(), todo))

    def stop(self, what: object, todo: str = '') -> NoReturn:
        """Tell of something without which nothing more can be found out here.

        Raises:
            Stop: Always.
        """
        self.find(what, todo)
        raise Stop

    def lines(self) -> list[str]:
        """The section as text."""
        width = max((len(name) for name, _ in self.facts), default=0)
        told = [f'  {name:{width}}  {_indented(value, width + 4)}' for name, value in self.facts]
        # where all is well, what libraries print is of no interest; as_json has it
        printed = [f'  printed: {line}' for line in self.noise] if self.findings else []
        found = [f'  ! {_indented(finding.what, 4)}' for finding in self.findings]
        return [without_home(line) for line in (self.title, *told, *printed, *found)]


def conclusion(findings: list[Finding]) -> list[str]:
    """The last lines: ``ok``, or what is to be mended, numbered, each with what to do."""
    if not findings:
        return ['ok']
    lines = [f'to be mended: {len(findings)}']
    for number, finding in enumerate(findings, 1):
        lines.append(f'{number}. {finding.section}: {_indented(finding.what, 3)}')
        if finding.todo:
            lines.append(f'   What to do: {_indented(finding.todo, 3)}')
    return [without_home(line) for line in lines]


def as_json(sections: list[Section]) -> str:
    """All of it for machines."""
    findings = [asdict(finding) for section in sections for finding in section.findings]
    told: list[dict[str, Any]] = [
        dict(title=section.title, facts=dict(section.facts), printed=section.noise) for section in sections
    ]
    text = json.dumps(dict(ok=not findings, findings=findings, sections=told), indent=2, ensure_ascii=False)
    return without_home(text) + '\n'


def without_home(text: str) -> str:
    """A text in which the home folder is ``~``."""
    try:
        homes = {str(Path.home()), str(Path.home().resolve())}
    except (RuntimeError, OSError):  # a user without one
        return text
    for home in sorted(homes - {'/', ''}, key=len, reverse=True):
        text = re.sub(rf'(?<![\w.-]){re.escape(home)}(?![\w.-])', '~', text)
    return text


def _indented(text: str, columns: int) -> str:
    return text.replace('\n', '\n' + ' ' * columns)
