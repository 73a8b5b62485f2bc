"""Install what ``make wheel`` built where there is no C compiler, and see which decoder is there.

The wheel brings the compiled decoder along. The sdist installs as well, has the reference decoder, and says so once in
the log and in ``ddbexport --version``. Each is installed with all that it requires into an environment of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE

PINS = Path(__file__).parents[1] / "requirements/dev.txt"
NOT_FOR_THEM = ("CC", "CXX", "PYTHONPATH", DECODER_VARIABLE)
"""Variables that would name a compiler, another installation, or a decoder."""

NO_DECODER = "The compiled module _kernel is not there"
"""What the log says, once."""

CHECK_LINES = """
import logging
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.decoder import check_lines
logging.basicConfig(format="%(message)s", level=logging.INFO)
for _ in range(2):
    assert check_lines(decode_line)(b'{"Item":{"id":{"N":"1"}}}\\n') == 1
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", required=True, help="the program that installs")
    parser.add_argument("folder", type=Path, help="holds one wheel for this Python and one sdist")
    args = parser.parse_args()
    (wheel,), (sdist,) = args.folder.glob("*.whl"), args.folder.glob("*.tar.gz")
    uv = shutil.which(args.uv) or args.uv
    return max(
        try_out(uv, wheel, ending=", compiled decoder", told=0),
        try_out(uv, sdist, ending=": this installation has no compiled one", told=1),
    )


def try_out(uv: str, distribution: Path, *, ending: str, told: int) -> int:
    """Return 0 if *distribution* installs, its version has that *ending*, and its log says so often what is missing."""
    with tempfile.TemporaryDirectory(prefix="ddbexport-") as folder:
        home = Path(folder)
        # Programs are looked for in this folder only, so that no compiler is found.
        (home / "programs").mkdir()
        where = {name: value for name, value in os.environ.items() if name not in NOT_FOR_THEM}
        where["PATH"] = str(home / "programs")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
        python = home / "venv/bin/python"
        install: list[Path | str] = [uv, "pip", "install", "--quiet", "--python", python, "--constraint", PINS]
        # Built here and now, not found among what was built with a compiler.
        install += ["--refresh-package", "airflow-provider-ddbexport"]
        subprocess.run([*install, distribution], env=where, check=True)
        version = _output([home / "venv/bin/ddbexport", "--version"], where, home)
        log = _output([python, "-c", CHECK_LINES], where, home)
    times = log.count(NO_DECODER)
    print(f"{distribution.name}: {version}; the log says {times} times that there is no compiled one", flush=True)
    if not version.endswith(ending) or times != told:
        print(f"  expected {ending!r}, and {told} times", flush=True)
        return 1
    return 0


def _output(command: list[Path | str], env: dict[str, str], folder: Path) -> str:
    """Return what *command* says in *folder*, which is not the checkout: Python would import the package from there."""
    done = subprocess.run(
        command, env=env, cwd=folder, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
