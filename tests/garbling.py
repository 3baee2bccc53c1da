"""A Trivy whose output can be spoiled: the real program does the work, then its report suffers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# How a report is spoiled, as a shell says it; `$out` is the file.
SPOILED = {
    "empty": ': > "$out"',
    "cut": 'head -c 200 "$out" > "$out.x"; mv "$out.x" "$out"',
    "warned": '{ echo "WARN it is late"; cat "$out"; } > "$out.x"; mv "$out.x" "$out"',
    "null": """echo '{"SchemaVersion": 2, "ArtifactName": "a", "Results": null}' > "$out\"""",
    "failed": "exit 1",  # with a valid report
}


@dataclass(frozen=True, slots=True)
class Garbling:
    """A program that calls Trivy, and the file that says how to spoil what it wrote."""

    path: Path
    mode: Path

    @classmethod
    def make(cls, folder: Path, trivy: str) -> Garbling:
        """Write the program to `folder`; it spoils nothing yet."""
        made = cls(folder / "garbling-trivy", folder / "mode")
        cases = "\n".join(f"  {name}) {how};;" for name, how in SPOILED.items())
        made.path.write_text(
            "#!/bin/sh\nPATH=/usr/bin:/bin\n"
            f"mode=$(cat {made.mode} 2>/dev/null)\n"
            "for each; do case $each in --output=*) out=${each#--output=};; esac; done\n"
            f'[ "$1" = image ] && [ -n "$mode" ] || exec {trivy} "$@"\n'
            f'{trivy} "$@"; status=$?\n[ -n "$out" ] || exit $status\n'
            f"case $mode in\n{cases}\nesac\nexit $status\n",
            encoding="utf-8",
        )
        made.path.chmod(0o755)
        return made

    def spoil(self, mode: str) -> None:
        """Spoil every report from now on; empty: none."""
        self.mode.write_text(mode, encoding="utf-8")
