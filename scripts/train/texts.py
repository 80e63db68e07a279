"""Stage 1: the text of every tool, as toolscout's encoders read it; and how texts are normalised.

Invariants: the text of a tool comes from toolscout itself, never from a copy of its rules; and
`normalise` cuts words where `src/text/pieces.rs` does (`tests/fixtures/pieces.jsonl`, which
`export.py` writes, holds the two together).
"""

import argparse
import gzip
import json
import re
import subprocess
import unicodedata
from pathlib import Path

import settings

DATA = Path(__file__).parent / "data"
# The invented tools are ours; the others are folders of published catalogs, as CATALOGS says.
INVENTED = "invented"
CATALOGS = (
    "smithery-mcp",
    "real-servers",
    "docker-registry",
    "livemcpbench",
    "stabletoolbench",
    "sealtools",
    "metatool",
)
# Changes of case inside an identifier, but not before the plural of `URLs`.
CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])(?!.s(?![^\W_]))")


def normalise(text: str) -> str:
    """`text` as words of small letters and digits without accents: `getÉtat` is `get etat`."""
    plain = "".join(
        char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char)[0] != "M"
    )
    words = (char.lower() if char.isalnum() else " " for char in CASE.sub(" ", plain))
    return " ".join("".join(words).split())


def readable(name: str) -> str:
    """An identifier as words, for texts that MiniLM's own tokenizer splits."""
    return re.sub(r"[_\-./]", " ", re.sub(r"([a-zà-ÿ])([A-Z])", r"\1 \2", name))


def read_lines(path: Path) -> list[dict]:
    """The objects of a JSONL file, perhaps gzipped."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def write_lines(path: Path, rows: list[dict]) -> None:
    """Writes a JSONL file, gzipped where its name says so; the same rows make the same bytes."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def find_catalogs(benchmarks: Path | None) -> dict[str, tuple[Path, Path | None]]:
    """By name: the file of tools, and that of the servers' titles where there is one."""
    found = {}
    for name in CATALOGS if benchmarks else ():
        files = [benchmarks / name / f"catalog.jsonl{end}" for end in ("", ".gz")]
        catalog = next((file for file in files if file.exists()), None)
        servers = benchmarks / name / "servers.jsonl"
        if catalog:
            found[name] = (catalog, servers if servers.exists() else None)
        else:
            print(f"texts: {name}: no catalog.jsonl in {benchmarks / name}, left out", flush=True)
    found[INVENTED] = (DATA / "invented.catalog.jsonl.gz", None)
    return found


def texts_of(toolscout: Path, catalog: Path, servers: Path | None) -> list[dict]:
    """What toolscout says of each tool: id, server, name, description, text."""
    command = [toolscout, "model", "texts", "--catalog", catalog]
    if servers:
        command += ["--servers", servers]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in printed.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--toolscout", type=Path, required=True)
    parser.add_argument("--benchmarks", type=Path)
    arguments = parser.parse_args()
    numbers = settings.Texts(**settings.read(arguments.out, "texts"))
    rows = []
    for name, (catalog, servers) in find_catalogs(arguments.benchmarks).items():
        tools = texts_of(arguments.toolscout, catalog, servers)[: numbers.tools_of_each]
        print(f"texts: {name}: {len(tools)} tools", flush=True)
        rows += [{"catalog": name, **tool} for tool in tools]
    write_lines(arguments.out / "texts.jsonl.gz", rows)


if __name__ == "__main__":
    main()
