"""python -m tests.clients.node: the clients from npm against a Craton, in the clear and over TLS.

They are installed as their lock says into a folder of the user's cache, never here.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from craton.cli.environment import variables_of
from craton.cli.installation import read_installation
from tests.fakes.bedrock_token import bedrock_token
from tests.fakes.craton import ECHO, Craton

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "craton" / "node-clients"
INSTALL_LIMIT_S = 600
TEST_LIMIT_S = 120


def installed(folder: Path) -> Path:
    """The folder with the clients and this one's tests beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = HERE / "package-lock.json"
    done = folder / "installed"
    if not done.exists() or done.read_bytes() != lock.read_bytes():
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / file, folder)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_LIMIT_S)
        shutil.copy(lock, done)
    for file in HERE.glob("*.test.mjs"):
        shutil.copy(file, folder)
    return folder


def passed(folder: Path, craton: Craton, **more: str) -> bool:
    """Whether every test passes with what `craton env` tells, and no other variable."""
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = variables_of(read_installation(craton.data), None)
    tests = sorted(file.name for file in HERE.glob("*.test.mjs"))
    done = subprocess.run(
        ["node", "--test", *tests],
        cwd=folder,
        env=bare | told | {"CRATON_TEST_MODEL": ECHO} | more,
        timeout=TEST_LIMIT_S,
        check=False,
    )
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the clients from npm against a Craton.")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where they are installed")
    folder = installed(parser.parse_args().cache)
    failed: list[str] = []
    for tls in (False, True):
        with tempfile.TemporaryDirectory(prefix="craton-node-") as data:
            craton = Craton(Path(data), engine="echo", workers=2, tls=tls)
            try:
                if not passed(folder, craton):
                    failed.append("over TLS" if tls else "in the clear")
                token = bedrock_token(craton.keys.access_key_id, craton.keys.secret_access_key)
                if tls and not passed(folder, craton, AWS_BEARER_TOKEN_BEDROCK=token):
                    failed.append("with a short-term Bedrock key")
                if craton.metric("craton_internal_errors_total"):
                    failed.append("craton_internal_errors_total is not 0")
            finally:
                status = craton.close()
        if status:
            failed.append(f"Craton ended with status {status}")
    for text in failed:
        print(f"FAILED {text}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
