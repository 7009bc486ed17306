"""Command lines called in this process: one of its own spends seconds on imports."""

import io
import os
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parents[1]


def call(tool: str, *arguments) -> subprocess.CompletedProcess:
    """A tool of tools/, called in the project's root; an exception that it does not catch is raised."""
    command = [str(ROOT / 'tools' / tool), *map(str, arguments)]
    argv, folder, out, err = sys.argv, os.getcwd(), io.StringIO(), io.StringIO()
    sys.argv, status = command, 0
    sys.path.insert(0, str(Path(command[0]).parent))  # as the interpreter does
    os.chdir(ROOT)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            runpy.run_path(command[0], run_name='__main__')
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):  # as the interpreter does
            print(status, file=err)
            status = 1
    finally:
        sys.argv = argv
        sys.path.pop(0)
        os.chdir(folder)
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())
