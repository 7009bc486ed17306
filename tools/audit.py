"""What is installed beside this package: known vulnerabilities, a bill of materials, licences.

    make audit

It runs in .venv-audit, which has pip-audit and cyclonedx-bom, and looks at .venv without changing it.
The bill of materials is dist/sbom.cdx.json (CycloneDX); the licences that are allowed stand in
requirements/licences.json. It ends with what was done, and with status 1 if something was found or could
not be done. Licences are those that packages say they are under: what else a wheel has taken in, it may
not say.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ALLOWED = ROOT / 'requirements' / 'licences.json'
OWN = 'rsmamba_mm'
# A release with known flaws. A mirror of the index may have none to tell, and pip-audit then finds nothing.
CANARY = 'pyyaml==5.3'
SERVICES = ('pypi', 'osv')
SHORT = 80  # letters of a licence's name; what is longer is its text


class NotDoneError(Exception):
    """A part that could not be done; the message says why."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('environment', help='what to look at, such as .venv; or its site-packages')
    parser.add_argument('--only', choices=PARTS, action='append', help='do this part; may be repeated')
    parser.add_argument('--sbom', default=ROOT / 'dist' / 'sbom.cdx.json', type=Path, metavar='FILE')
    args = parser.parse_args()
    outcomes = {}
    for name in args.only or PARTS:
        print(f'== {name}')
        try:
            problems = PARTS[name](args)
        except NotDoneError as error:
            outcomes[name] = 'NOT DONE'
            print(f'{name} not done: {error}')
            continue
        for problem in problems:
            print(f'! {problem}')
        outcomes[name] = f'done, {len(problems)} found' if problems else 'done, ok'
    print('== audit')
    for name in PARTS:
        print(f'{name}: {outcomes.get(name, "not asked for")}')
    if any(outcome != 'done, ok' for outcome in outcomes.values()):
        raise SystemExit(1)


def installed(environment: str) -> list[Distribution]:
    """What is installed in an environment, by name, without this package.

    Raises:
        NotDoneError: If there is nothing.
    """
    python, path = Path(environment, 'bin', 'python'), [environment]
    if python.exists():
        ask = [str(python), '-c', 'import json, sys; print(json.dumps(sys.path[1:]))']
        path = json.loads(subprocess.run(ask, check=True, capture_output=True, text=True).stdout)
    found = {_plain(each.name): each for each in reversed(list(distributions(path=path))) if each.name}
    found.pop(_plain(OWN), None)
    if not found:
        raise NotDoneError(f'no package is installed in {environment}')
    return [found[name] for name in sorted(found)]


def _plain(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


# vulnerabilities ---------------------------------------------------------------------------------


def vulnerabilities(args: argparse.Namespace) -> list[str]:
    """What pip-audit knows of the installed releases; those of PyTorch without their ``+cpu``."""
    pins = [f'{each.name}=={each.version.partition("+")[0]}' for each in installed(args.environment)]
    refusals = []
    for service in SERVICES:
        try:
            canary = pip_audit([CANARY], service)
        except NotDoneError as error:
            refusals.append(f'{service}: {error}')
            continue
        if not any(each.get('vulns') for each in canary):
            refusals.append(f'{service}: it answers, and knows no flaw of {CANARY}, which has some')
            continue
        answer = pip_audit(pins, service)
        print(f'{len(answer)} releases looked up ({service})')
        return [*_known(answer), *(f'{name} was not looked up: {why}' for name, why in _skipped(answer))]
    raise NotDoneError('no vulnerability was looked up. ' + '; '.join(refusals))


def pip_audit(pins: Sequence[str], service: str) -> list[dict[str, Any]]:
    """Its answer for each of the releases.

    Raises:
        NotDoneError: If it gives none.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'pins.txt')
        file.write_text('\n'.join(pins) + '\n', encoding='utf-8')
        command = [sys.executable, '-m', 'pip_audit', '--no-deps', '--disable-pip', '--format', 'json']
        command += ['--progress-spinner', 'off', '--timeout', '20', '--vulnerability-service', service]
        result = subprocess.run([*command, '-r', file], capture_output=True, text=True)
    try:
        return json.loads(result.stdout)['dependencies']
    except (ValueError, KeyError, TypeError):
        last = (result.stderr.strip().splitlines() or ['pip-audit says nothing'])[-1]
        raise NotDoneError(last[:300]) from None


def _known(answer: list[dict[str, Any]]) -> Iterator[str]:
    for each in answer:
        for flaw in each.get('vulns', ()):
            mended = ', '.join(flaw.get('fix_versions') or ()) or 'no release'
            yield f'{each["name"]} {each["version"]}: {flaw["id"]}, mended in {mended}'


def _skipped(answer: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    return ((each['name'], each['skip_reason']) for each in answer if 'skip_reason' in each)


# bill of materials -------------------------------------------------------------------------------


def sbom(args: argparse.Namespace) -> list[str]:
    """Write the bill of materials: this package, what is installed beside it, and who requires what."""
    args.sbom.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, '-m', 'cyclonedx_py', 'environment', args.environment]
    command += ['--output-reproducible', '--of', 'JSON', '-o', str(args.sbom)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise NotDoneError((result.stderr.strip().splitlines() or ['cyclonedx-py says nothing'])[-1][:300])
    bill = json.loads(args.sbom.read_text())
    for each in bill['components']:
        links = each.get('externalReferences', [])
        # but not where a package lies on this disk
        each['externalReferences'] = [link for link in links if not link['url'].startswith('file:')]
    own = [each for each in bill['components'] if _plain(each['name']) == _plain(OWN)]
    if own:
        bill['components'].remove(own[0])
        bill['metadata']['component'] = own[0]
    args.sbom.write_text(json.dumps(bill, indent=2) + '\n')
    print(f'{args.sbom}: {len(bill["components"])} components, CycloneDX {bill["specVersion"]}')
    return []


# licences ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Allowed:
    """Licences that are allowed: the family of each name, the names of texts, and exceptions."""

    families: dict[str, str]
    texts: dict[str, str]
    exceptions: list[dict[str, Any]]

    @classmethod
    def read(cls, file: Path = ALLOWED) -> Allowed:
        if not file.exists():
            raise NotDoneError(f'{file} is not there: run this in a source tree')
        table = json.loads(file.read_text(encoding='utf-8'))
        families = {_norm(name): family for family, names in table['families'].items() for name in names}
        return cls(families, table['texts'], table['exceptions'])

    def family(self, claim: str) -> set[str] | None:
        """The families of a licence's name, or of an expression of names; None if it is not allowed."""
        if (known := self.families.get(_norm(claim))) is not None:
            return {known}
        words = re.findall(r'\(|\)|[^\s()]+', claim)
        tokens: list[str] = []
        for word in words:
            joint = word in '()' or word.upper() in ('AND', 'OR')
            if joint or not tokens or tokens[-1] in ('(', ')', 'AND', 'OR'):
                tokens.append(word.upper() if joint else word)
            else:
                tokens[-1] += f' {word}'
        if len(tokens) < 2:
            return None
        try:
            found = self._any(tokens)
        except IndexError:
            return None
        return None if tokens else found

    def _any(self, tokens: list[str]) -> set[str] | None:
        found = [self._all(tokens)]
        while tokens and tokens[0] == 'OR':
            tokens.pop(0)
            found.append(self._all(tokens))
        return next((families for families in found if families is not None), None)

    def _all(self, tokens: list[str]) -> set[str] | None:
        found = [self._one(tokens)]
        while tokens and tokens[0] == 'AND':
            tokens.pop(0)
            found.append(self._one(tokens))
        return None if any(families is None for families in found) else set().union(*filter(None, found))

    def _one(self, tokens: list[str]) -> set[str] | None:
        token = tokens.pop(0)
        if token != '(':
            family = self.families.get(_norm(token))
            return None if family is None else {family}
        found = self._any(tokens)
        return found if tokens.pop(0) == ')' else None

    def exception(self, name: str, claim: str) -> dict[str, Any] | None:
        """The exception that lets a package have a licence."""
        for each in self.exceptions:
            named = fnmatchcase(_plain(name), each['package'])
            if named and _norm(claim) in map(_norm, each['claims']):
                return each
        return None


def _norm(name: str) -> str:
    return re.sub(r'[\s,_-]+', ' ', name).strip().lower()


def licences(args: argparse.Namespace) -> list[str]:
    """Print how many packages are under which licences, and tell which are under others."""
    allowed = Allowed.read()
    table: Counter[str] = Counter()
    problems, excepted = [], []
    for each in installed(args.environment):
        claims = claimed(each, allowed.texts)
        families: set[str] = set()
        for claim in claims:
            found, exception = allowed.family(claim), allowed.exception(each.name, claim)
            if found is not None:
                families |= found
            elif exception is None:
                problems.append(f'{each.name} {each.version}: {claim!r} is not in {ALLOWED.name}')
            else:
                families.add(f'exception: {each.name}')
                excepted.append(f'{each.name} {each.version}: {claim} ({exception["why"]})')
                problems += _elsewhere(each.name, exception['only'])
        if not claims:
            problems.append(f'{each.name} {each.version}: it does not say its licence')
        table[', '.join(sorted(families)) or 'not allowed'] += 1
    width = max(map(len, table))
    for family, count in sorted(table.items(), key=lambda row: (-row[1], row[0])):
        print(f'  {family:{width}}  {count:4d}')
    print(f'  {"in all":{width}}  {table.total():4d}')
    for line in excepted:
        print(f'  exception: {line}')
    return problems


def claimed(package: Distribution, texts: dict[str, str]) -> list[str]:
    """The licences that a package says it is under, all of which are to be allowed.

    Its expression; else its short names and classifiers; else what its texts are known for.
    """
    told = package.metadata
    if expression := _said(told.get('License-Expression')):
        return [expression]
    text = _said(told.get('License'))
    names = [each for each in told.get_all('Classifier') or () if _is_licence(each)]
    if '\n' not in text and len(text) <= SHORT:
        names += [text] if text else []
        text = ''
    names = list(dict.fromkeys(each.rpartition(' :: ')[2] for each in names))
    return names or _recognised(text, texts) or _recognised('\n'.join(_files(package)), texts)


def _said(text: str | None) -> str:
    text = (text or '').strip()
    return '' if text.upper() in ('UNKNOWN', 'NONE', '') else text


def _is_licence(classifier: str) -> bool:
    return classifier.startswith('License ::') and classifier != 'License :: OSI Approved'


def _recognised(text: str, texts: dict[str, str]) -> list[str]:
    """Names of the licences whose words are in a text."""
    flat = ' '.join(text.split())
    return [name for name, words in texts.items() if re.search(words, flat, re.IGNORECASE)]


def _files(package: Distribution) -> Iterator[str]:
    """The texts of a package's licence, of its own and not of what it has taken in."""
    for path in package.files or ():
        own = path.parent.name.endswith('.dist-info') or path.parent.name == 'licenses'
        if own and re.match(r'(?i)(un)?licen[cs]e|copying', path.name) and path.locate().is_file():
            yield path.locate().read_text(encoding='utf-8', errors='replace')


def _elsewhere(name: str, only: list[str]) -> Iterator[str]:
    """Requirements that name a package which is excepted for others alone."""
    for file in sorted((ROOT / 'requirements').glob('*.txt')):
        required = set(map(_plain, re.findall(r'(?m)^[\w.-]+', file.read_text(encoding='utf-8'))))
        if _plain(name) in required and file.stem not in (*only, 'constraints'):
            yield f'{name} is an exception for {" and ".join(only) or "no extra"}, and {file.name} names it'


PARTS = {'vulnerabilities': vulnerabilities, 'sbom': sbom, 'licences': licences}


if __name__ == '__main__':
    main()
